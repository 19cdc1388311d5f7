"""A disk to which nobody may write any more, from one moment to the next."""

from pathlib import Path

import pytest

from tests.integration.server.site import free_address
from tests.integration.server.test_failing_disk import (
    JOBS,
    stored_jobs,
    submit_until_nobody_answers,
)
from tests.integration.server.test_full_disk import ask
from tests.integration.server.test_program import ready, server
from tests.support.builders import delay
from tests.support.disks import breaking_disk

BROKEN = 70
UNUSABLE = 73


@pytest.mark.timeout(60)
def test_a_server_whose_disk_became_read_only_says_nothing_untrue(tmp_path: Path) -> None:
    """It ends with its next commit, starts on no such disk, and has all that it acknowledged."""
    with breaking_disk(tmp_path / "disk") as disk:
        folder = disk.path / "data"
        with ready(folder) as (started, connection, headers):
            listen = f"{connection.host}:{connection.port}"
            answered = {ask(connection, JOBS, headers, delay())[1]["id"] for _ in range(5)}
            disk.fail()
            assert submit_until_nobody_answers(listen, headers) == set()
            assert started.wait() == BROKEN
            assert "store.commit_failed" in started.stderr

        with server(folder, free_address()) as again:
            assert again.wait() == UNUSABLE
            assert "Read-only file system" in again.stderr
            assert "Traceback" not in again.stderr

        disk.mend()
        with ready(folder) as (_, connection, headers):
            assert ask(connection, JOBS, headers, delay())[0] == 201
        assert answered <= stored_jobs(folder)
