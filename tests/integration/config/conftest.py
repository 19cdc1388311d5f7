"""A folder of its own for each test."""

from pathlib import Path

import pytest

from tests.support.configs import ConfigFolder


@pytest.fixture
def config(tmp_path: Path) -> ConfigFolder:
    """Return a private folder for a configuration."""
    home = tmp_path / "config"
    home.mkdir()
    return ConfigFolder(home)
