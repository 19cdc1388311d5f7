"""A spool that was moved is the same one; a copy of it is another one, and knows its place."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.kernel.errors import StateUnavailable
from tests.integration.spool.files import began, code, grant, header, out, read, whole, write
from worker.spool import Spool
from worker.spool.identity import Identity

OPEN = grant(2) + began() + out(b"words")
"""An attempt that is not over."""


def _opened(folder: Path) -> Identity:
    spool = Spool(folder)
    spool.close()
    return spool.identity


def _rewrite(folder: Path, **fields: object) -> None:
    path = folder / "id"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    to.chmod(0o700)
    return to


def test_a_spool_keeps_its_id_wherever_it_is_moved(tmp_path: Path) -> None:
    """Also when something else has taken its old place."""
    first = _opened(tmp_path / "one")

    (tmp_path / "one").rename(tmp_path / "two")

    assert _opened(tmp_path / "two").id == first.id
    assert _opened(tmp_path / "one").id != first.id
    assert _opened(tmp_path / "two").id == first.id


def test_a_copy_is_another_spool(tmp_path: Path) -> None:
    """From its first start on, for ever; the original stays what it was."""
    first = _opened(tmp_path / "one")
    copy = _copied(tmp_path / "one", tmp_path / "two")

    second = _opened(copy)

    assert second.id != first.id
    assert second.copied_from == first.id
    assert _opened(copy) == second
    assert _opened(tmp_path / "one") == first


@pytest.mark.parametrize("restarts", [1, 2])
async def test_a_copy_tells_only_of_what_is_over(tmp_path: Path, restarts: int) -> None:
    """What is not may still run where it was copied from; also later that is never its business."""
    original = tmp_path / "one"
    _opened(original)
    write(original, "seg-a-0", header(), whole(1), OPEN)
    copy = _copied(original, tmp_path / "two")
    for _ in range(restarts - 1):
        _opened(copy)
    spool = Spool(copy)

    [log] = await spool.reattach()

    assert log.key == ("job_1", 1)
    assert code(await read(log)) == 1
    spool.close()
    there = Spool(original)
    assert {log.key for log in await there.reattach()} == {("job_1", 1), ("job_2", 1)}
    there.close()


async def test_what_a_copy_runs_itself_is_found_again(tmp_path: Path) -> None:
    """Only what came with it is foreign."""
    _opened(tmp_path / "one")
    copy = _copied(tmp_path / "one", tmp_path / "two")
    _opened(copy)
    write(copy, "seg-b-0", header(), OPEN)
    spool = Spool(copy)

    [log] = await spool.reattach()

    assert log.key == ("job_2", 1)
    spool.close()


async def test_a_backup_of_a_spool_that_is_gone_is_the_spool(tmp_path: Path) -> None:
    """Nobody else has its id, and what is in it is reported: in its old place or in another."""
    first = _opened(tmp_path / "one")
    write(tmp_path / "one", "seg-a-0", header(), OPEN)
    _copied(tmp_path / "one", tmp_path / "backup")
    shutil.rmtree(tmp_path / "one")
    for place in ("one", "elsewhere"):
        restored = _copied(tmp_path / "backup", tmp_path / place)
        spool = Spool(restored)
        assert spool.identity.id == first.id
        assert [log.key for log in await spool.reattach()] == [("job_2", 1)]
        spool.close()
        shutil.rmtree(restored)


def test_a_spool_on_another_machine_is_a_copy(tmp_path: Path) -> None:
    """Its original cannot be looked for, so it is taken to be there."""
    first = _opened(tmp_path / "one")
    _rewrite(tmp_path / "one", machine="another one")

    second = _opened(tmp_path / "one")

    assert (second.copied_from, second.id == first.id) == (first.id, False)
    _rewrite(tmp_path / "one", machine="")
    assert _opened(tmp_path / "one").id == second.id, "a machine without an id proves nothing"


def test_a_spool_that_a_shim_writes_to_is_no_copy(tmp_path: Path) -> None:
    """A container with a new machine id, and whose jobs go on, is still the same worker."""
    first = _opened(tmp_path / "one")
    segment = write(tmp_path / "one", "seg-a-0", header(), OPEN)
    _rewrite(tmp_path / "one", machine="another one")

    script = f"exec 9<{segment} && flock 9 && echo locked && exec cat"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shim:
        assert shim.stdout is not None
        assert shim.stdout.readline() == b"locked\n"
        second = _opened(tmp_path / "one")
        shim.communicate()

    assert second.id == first.id


@pytest.mark.parametrize("text", ["", "0123456789abcdef", "{}", '{"id": 1, "foreign": []}'])
def test_an_id_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    """With the file, and what to do; the next try is not kept out by a lock."""
    _opened(tmp_path / "one")
    (tmp_path / "one" / "id").write_text(text)

    for _ in range(2):
        with pytest.raises(StateUnavailable, match="id does not say which spool this is") as caught:
            Spool(tmp_path / "one")
        assert "backup" in (caught.value.hint or "")
