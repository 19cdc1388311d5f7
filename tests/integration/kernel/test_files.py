"""Private files, folders and locks, on a real disk."""

import os
import stat
import threading
from pathlib import Path

import pytest

from orchestrator.kernel.errors import AlreadyRunning, Forbidden, StateUnavailable
from orchestrator.kernel.files import Lock, private_dir, undone_if_empty, write_private
from tests.support.needs import needs_root
from tests.support.processes import program, python
from tests.support.waiting import wait_until

HOLDER = (
    "import sys; from pathlib import Path; from orchestrator.kernel.files import Lock;"
    "Lock(Path(sys.argv[1])).take('a test'); print('held', flush=True); sys.stdin.read();"
    "import signal; signal.pause()"
)
FULL = (
    "import sys; from pathlib import Path; from orchestrator.kernel.files import Lock;"
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
    "Lock(Path(sys.argv[1])).take('a test'); print('held', flush=True); sys.stdin.read()"
)
"""No file may have any bytes: the kernel refuses them as it does where there is no room."""


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask, the mode is 0600, and nothing but the file is left."""
    before = os.umask(0)
    try:
        write_private(tmp_path / "token", "secret\n")
    finally:
        os.umask(before)

    assert (tmp_path / "token").read_text() == "secret\n"
    assert _mode(tmp_path / "token") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_private_file_replaces_the_old_one(tmp_path: Path) -> None:
    """The new text takes the place of the old, even of a file that was open to all."""
    (tmp_path / "token").write_text("old and longer")
    (tmp_path / "token").chmod(0o666)

    write_private(tmp_path / "token", "new")

    assert (tmp_path / "token").read_text() == "new"
    assert _mode(tmp_path / "token") == 0o600


def test_a_private_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A link under that name is replaced: what it points to stays as it is."""
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")

    write_private(tmp_path / "token", "secret")

    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert not (tmp_path / "token").is_symlink()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the file, and the exit code is the one for state that cannot be made."""
    with pytest.raises(StateUnavailable, match=str(tmp_path / "gone" / "token")) as caught:
        write_private(tmp_path / "gone" / "token", "secret")

    assert caught.value.exit_code == 73


def test_a_private_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    """Every folder that had to be made is closed to others."""
    made = private_dir(tmp_path / "a" / "b")

    assert made == tmp_path / "a" / "b"
    assert [_mode(tmp_path / "a"), _mode(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_a_private_folder_may_be_a_link_to_one(tmp_path: Path) -> None:
    """Data may live on another disk: what counts is the folder behind the link."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "data").symlink_to(tmp_path / "disk")

    assert private_dir(tmp_path / "data") == tmp_path / "disk"


def test_an_open_folder_is_closed_only_while_it_is_empty(tmp_path: Path) -> None:
    """One that holds something may be in use by others: it is refused with what to type."""
    open_one = tmp_path / "open"
    open_one.mkdir()
    open_one.chmod(0o755)
    (open_one / "file").touch()

    with pytest.raises(Forbidden) as caught:
        private_dir(open_one)
    (open_one / "file").unlink()
    private_dir(open_one)

    assert caught.value.hint is not None
    assert f"chmod 700 {open_one}" in caught.value.hint
    assert _mode(open_one) == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The error names the path, wherever on it the file is."""
    (tmp_path / "file").touch()

    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateUnavailable, match=str(path)):
            private_dir(path)


@needs_root("can give a folder away")
def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    """Root must not write keys into a user's folder: the user could swap them."""
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)

    with pytest.raises(Forbidden, match="12345"):
        private_dir(tmp_path / "theirs")


def test_a_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    """The error names the pid that holds it, and the exit code says that it runs already."""
    with program(*python("-c", HOLDER, str(tmp_path / "lock"))) as holder:
        holder.wait_for("held")

        with pytest.raises(AlreadyRunning, match=f"pid {holder.pid}") as caught:
            Lock(tmp_path / "lock").take("the test")

    assert caught.value.exit_code == 5


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """However the holder died, the next one gets the lock, and puts in its own pid."""
    with program(*python("-c", HOLDER, str(tmp_path / "lock"))) as holder:
        holder.wait_for("held")
        holder.signal(9)
        holder.wait()

        with Lock(tmp_path / "lock").take("the test"):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    """What it says of its holder is only for people: on a full disk it is taken without."""
    with program(*python("-c", FULL, str(tmp_path / "lock"))) as holder:
        holder.wait_for("held")


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    """Releasing gives it up, and doing so twice harms nobody."""
    lock = Lock(tmp_path / "lock").take("the test")

    lock.release()
    lock.release()

    Lock(tmp_path / "lock").take("the test").release()


def _fail(path: Path, within: Path) -> None:
    """Make a folder and a file in it, or none, and fail."""
    with undone_if_empty(path):
        private_dir(path)
        if within != path:
            within.touch()
        raise ZeroDivisionError


def test_what_a_block_that_failed_has_made_is_undone(tmp_path: Path) -> None:
    """With the folders above that were made for it; what was there, or is in use, stays."""
    path = tmp_path / "a/b"
    with pytest.raises(ZeroDivisionError):
        _fail(path, path)
    assert list(tmp_path.iterdir()) == []

    with undone_if_empty(path):
        private_dir(path)
    with pytest.raises(ZeroDivisionError):
        _fail(path / "c", path / "d")
    assert [entry.name for entry in path.iterdir()] == ["d"]

    with pytest.raises(ZeroDivisionError):
        _fail(tmp_path / "e", tmp_path / "e/f")
    assert (tmp_path / "e/f").exists()


def test_a_lock_that_was_removed_is_taken_anew(tmp_path: Path) -> None:
    """Who found the old file just before it went does not hold what nobody else can see."""
    path = tmp_path / "lock"
    first = Lock(path).take("one")
    found = os.open(path, os.O_RDWR)
    first.remove()

    with Lock(path).take("another"):
        first.release()
        assert os.fstat(found).st_nlink == 0
        with pytest.raises(AlreadyRunning):
            Lock(path).take("a third")
    os.close(found)


def test_who_waits_for_a_lock_that_is_removed_gets_the_next_one(tmp_path: Path) -> None:
    """It locks a file that has no name any more, sees that, and begins anew."""
    path = tmp_path / "lock"
    first = Lock(path).take("one")
    taken: list[Lock] = []
    waiting = threading.Thread(target=lambda: taken.append(Lock(path).take("two", wait=True)))
    waiting.start()
    inode = f":{path.stat().st_ino} "
    wait_until(lambda: Path("/proc/locks").read_text().count(inode) == 2, what="it waits")
    first.remove()
    first.release()
    waiting.join(10)

    with taken[0], pytest.raises(AlreadyRunning):
        Lock(path).take("three")
