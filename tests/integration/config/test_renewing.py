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


def test_a_file_that_cannot_be_edited_is_met_before_a_server_is_asked(
    config: ConfigFolder,
) -> None:
    """What stands for several things is not replaced, and then nothing is to be renewed."""
    config.private(
        "workers.yaml",
        "version: 1\nworkers:\n"
        f"  - {{name: w1, env: {{SAME: &it '{token(1)}'}}, token: *it, working_directory: web, "
        "server_url: 'https://control.example.com'}\n",
    )

    with pytest.raises(Refused, match="it is an alias"):
        credential(config.path, {}, "w1")


def test_the_server_of_this_machine_is_asked_where_it_listens(config: ConfigFolder) -> None:
    """One that listens everywhere is called here."""
    config.private(
        "workers.yaml",
        "version: 1\nserver: {listen: '0.0.0.0:8701', insecure_http: true}\nworkers:\n"
        + config.worker(1, server_url=""),
    )

    assert credential(config.path, {}, "w1").server_url == "http://127.0.0.1:8701"
