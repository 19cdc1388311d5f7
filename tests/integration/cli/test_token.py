"""`orchestrator token renew`, when not all goes as it should."""

from pathlib import Path

from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder, token
from tests.support.fake_api import CREATED, Asked, FakeApi, Reply, answer


def test_a_token_that_cannot_be_written_down_is_told_to_be_lost(
    cli: CommandLine, fake: FakeApi, tmp_path: Path
) -> None:
    """With the moment until which the old one can still be used to ask for another one."""
    home = tmp_path / "config"
    home.mkdir()
    config = ConfigFolder(home)
    entry = config.worker(1, server_url=fake.url)
    config.private("workers.yaml", "version: 1\nworkers:\n" + entry)
    said = "version: 1\nworkers: [\n"

    def renewed(_asked: Asked) -> Reply:
        config.private("workers.yaml", said)
        return answer({"token": token(2), "old_until": CREATED})

    fake.on("POST", "/api/worker/v1/token", renewed)

    done = cli("token", "renew", "w1", env={"ORCHESTRATOR_CONFIG": str(config.path)})

    told = done.stderr.decode()
    assert done.returncode == 73, told
    assert "w1 has a new token, which is lost: " in told
    assert "mend that, and say this again before 2026-08-21" in told
    assert config.path.read_text() == said
    assert token(2) not in told
