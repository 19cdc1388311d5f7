"""A spool to which nobody may write any more, from one moment to the next."""

from pathlib import Path

import pytest

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.protocol.words import Outcome
from tests.support.disks import breaking_disk
from tests.support.waiting import wait_until
from tests.support.workers import Workplace


@pytest.mark.timeout(60)
def test_a_worker_whose_disk_became_read_only_makes_nothing_up(
    place: Workplace, tmp_path: Path
) -> None:
    """What ran is lost, not guessed; it ends in a sentence, and goes on when the disk is mended."""
    with breaking_disk(tmp_path / "disk") as disk:
        place.arguments = [f"--state-dir={disk.path / 'state'}"]
        place.start()
        server = place.server
        job = server.sh("echo words; while [ ! -e gate ]; do sleep 0.01; done; echo more; exit 7")
        attempt = server.running(job)
        wait_until(attempt.stream)

        disk.fail()
        (place.directory / "gate").touch()

        assert server.end(job).outcome is Outcome.LOST
        assert attempt.stream() == b"words\n"
        for program in (place.worker, place.launch()):
            assert program.wait() == StateUnavailable.exit_code, program
            assert "Read-only file system" in program.stderr
            assert "Traceback" not in program.stderr
        wait_until(lambda: not place.leftovers())
        disk.mend()
        place.start()
        assert server.end(server.sh("exit 3")).exit_code == 3
        place.end()
