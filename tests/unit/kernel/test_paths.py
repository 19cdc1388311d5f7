"""Where files of ours live."""

import sys
from pathlib import Path

import pytest

from orchestrator.kernel import paths


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is how Linux names places")
def test_the_users_own_folders_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets the XDG variables finds everything there."""
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/data")
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")

    assert paths.data_dir() == Path("/somewhere/data/orchestrator")
    assert paths.state_dir() == Path("/somewhere/state/orchestrator")
    assert paths.connection_file() == Path("/somewhere/state/orchestrator/connection.json")
    assert paths.connection_file(paths.data_dir()) == paths.connection_file()
    elsewhere = paths.connection_file(Path("/elsewhere"))
    assert elsewhere.parent == Path("/somewhere/state/orchestrator/connections")
    assert elsewhere != paths.connection_file(Path("/elsewhere/too"))
