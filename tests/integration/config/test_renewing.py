"""Where a worker's token stands, and that another one takes its place."""

from pathlib import Path

import pytest

from orchestrator.kernel.errors import NotFound, OrchestratorError, Refused
from orchestrator.supervisor.config.renewing import credential
from tests.support.configs import ConfigFolder, token


def test_a_token_of_the_file_is_replaced_there(config: ConfigFolder) -> None:
    """With all that stands around it."""
    config.private("workers.yaml", "version: 1\nworkers:\n" + config.worker(1) + config.worker(2))

    had = credential(config.path, {}, "w2")
    had.replace(token(3), {})

    assert (had.token, had.home) == (token(2), config.path)
    assert config.path.read_text() == (
        "version: 1\nworkers:\n" + config.worker(1) + config.worker(2, token=token(3))
    )


def test_a_token_in_a_file_of_its_own_is_replaced_there(config: ConfigFolder) -> None:
    """For its owner alone, also behind a link; the configuration stays as it is."""
    config.private("tokens/real", token(1))
    (config.home / "tokens/link").symlink_to("real")
    text = "version: 1\nworkers:\n" + config.worker(1, token="${file:tokens/link}")
    config.private("workers.yaml", text)

    had = credential(config.path, {}, "w1")
    had.replace(token(2), {})

    assert (had.token, Path(had.home).name) == (token(1), "real")
    assert (config.home / "tokens/real").read_text() == f"{token(2)}\n"
    assert (config.home / "tokens/real").stat().st_mode & 0o777 == 0o600
    assert (config.home / "tokens/link").is_symlink()
    assert config.path.read_text() == text


@pytest.mark.parametrize(
    ("worker", "error", "told"),
    [
        ("w1", Refused, "comes from ${env:W1}, where nothing can be written"),
        ("w2", Refused, "the orchestrator enrols it"),
        ("w3", NotFound, "no worker 'w3' that could be run"),
    ],
)
def test_what_cannot_be_replaced_is_said_before_a_server_is_asked(
    config: ConfigFolder, worker: str, error: type[OrchestratorError], told: str
) -> None:
    """A new token that nobody could write down would lock the worker out."""
    config.private(
        "workers.yaml",
        "version: 1\nserver: {listen: '127.0.0.1:8700'}\nworkers:\n"
        + config.worker(1, token="${env:W1}")
        + "  - name: w2\n    working_directory: .\n",
    )

    with pytest.raises(error) as refusal:
        credential(config.path, {"W1": token(1)}, worker)

    assert told in refusal.value.message
