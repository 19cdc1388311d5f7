"""What a local run is told, and what it takes for granted."""

from pathlib import Path

from orchestrator.kernel import paths
from orchestrator.supervisor.settings import LocalSettings


def test_only_the_folder_must_be_said() -> None:
    """Everything else has a default that works: loopback, the platform's folder, a slot each."""
    settings = LocalSettings(directory=Path("/work"))

    assert (settings.host, settings.port) == ("127.0.0.1", 8700)
    assert settings.data_dir == paths.data_dir()
    assert settings.slots >= 1
