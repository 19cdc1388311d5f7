"""Programs that the launcher starts: what they get, what they do not get, and how they end."""

import signal
import sys
from pathlib import Path

import pytest

from orchestrator.kernel.errors import LaunchFailed
from orchestrator.kernel.launching import Exit
from tests.integration.launcher.launched import Line, launched
from tests.support.waiting import wait_until

DESCRIBE = """
import json, os, signal, socket
line = socket.socket(fileno=3)
rows = open("/proc/self/status").read().splitlines()
status = dict(row.split(":\\t") for row in rows if ":\\t" in row)
line.send(json.dumps({
    "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "leads_session": os.getsid(0) == os.getpid(),
    "blocked": status["SigBlk"],
    "ignored": status["SigIgn"],
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "stdin": os.readlink("/proc/self/fd/0"),
    "fourth": os.fstat(4).st_ino,
}).encode())
"""


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_an_exit_code_is_told_exactly(code: int) -> None:
    """What a program exits with is what is reported."""
    async with launched() as launcher:
        child = await launcher.spawn(["/bin/sh", "-c", f"exit {code}"])

        assert await child.wait() == Exit(code=code)


async def test_a_signal_is_told_exactly() -> None:
    """A program that a signal ended has no exit code, but that signal."""
    async with launched() as launcher:
        child = await launcher.spawn(["/bin/sleep", "1000"])

        await child.signal(signal.SIGUSR2)

        assert await child.wait() == Exit(signal=signal.SIGUSR2)


async def test_many_ends_at_once_are_all_told() -> None:
    """A hundred programs that end together are a hundred exits, none lost, none exchanged."""
    async with launched() as launcher:
        children = [await launcher.spawn(["/bin/sh", "-c", f"exit {code}"]) for code in range(100)]

        assert [(await child.wait()).code for child in children] == list(range(100))


async def test_a_program_gets_what_was_passed_and_nothing_else(tmp_path: Path) -> None:
    """Descriptors arrive as 3 and 4; session, mask, signals, folder and environment are its own."""
    (tmp_path / "passed").touch()
    async with launched() as launcher:
        line = Line()
        with (tmp_path / "passed").open() as passed:
            child = await launcher.spawn(
                [sys.executable, "-S", "-c", DESCRIBE],
                env={"ONLY": "this"},
                cwd=str(tmp_path),
                fds=[line.fd, passed.fileno()],
            )
        line.passed()
        told = await line.hear_all()
        await child.wait()

    assert set(told.pop("open")) - {5} == {0, 1, 2, 3, 4}  # 5 lists the folder
    assert told.pop("env").items() >= {"ONLY": "this"}.items()
    # Python ignores SIGPIPE and SIGXFSZ by itself; 32 and 33 are glibc's.
    assert int(told.pop("ignored"), 16) & ~(1 << 12 | 1 << 24 | 0b11 << 31) == 0
    assert told == {
        "leads_session": True,
        "blocked": "0" * 16,
        "cwd": str(tmp_path),
        "stdin": "/dev/null",
        "fourth": (tmp_path / "passed").stat().st_ino,
    }
    line.close()


async def test_a_child_does_not_hold_what_another_was_passed() -> None:
    """A line ends when its own child ends, although an older and a younger child live on."""
    async with launched() as launcher:
        older = await launcher.spawn(["/bin/sleep", "1000"])
        line = Line()
        child = await launcher.spawn(["/bin/sleep", "1000"], fds=[line.fd])
        line.passed()
        younger = await launcher.spawn(["/bin/sleep", "1000"])

        await child.signal(signal.SIGKILL)

        assert await line.hear() == b""
        for other in (older, younger):
            await other.signal(signal.SIGKILL)
            await other.wait()
        line.close()


async def test_a_program_that_does_not_exist_is_named() -> None:
    """The error names the program that cannot be started, and why."""
    async with launched() as launcher:
        with pytest.raises(LaunchFailed, match=r"/no/such/program.*No such file"):
            await launcher.spawn(["/no/such/program"])


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The error names the folder, and the next program starts where it should."""
    async with launched() as launcher:
        with pytest.raises(LaunchFailed, match=str(tmp_path / "gone")):
            await launcher.spawn(["/bin/true"], cwd=str(tmp_path / "gone"))

        child = await launcher.spawn(["/bin/sh", "-c", 'test "$(pwd)" = /'])
        assert await child.wait() == Exit(code=0)


async def test_a_message_that_fits_in_no_packet_is_refused() -> None:
    """An environment that is too large is an error of its own, and the launcher lives on."""
    async with launched() as launcher:
        with pytest.raises(ValueError, match="at most"):
            await launcher.spawn(["/bin/true"], env={"LONG": "x" * 300_000})

        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)


async def test_a_signal_to_a_child_that_has_ended_does_nothing() -> None:
    """Its pid may be a stranger's by now, so nobody is signalled."""
    async with launched() as launcher:
        child = await launcher.spawn(["/bin/true"])
        await child.wait()

        await child.signal(signal.SIGKILL)

        assert not launcher.is_gone


async def test_what_a_program_leaves_behind_is_killed(tmp_path: Path) -> None:
    """When an exit is told, nothing that the program started lives, in whatever session."""
    pids = tmp_path / "pids"
    script = f"setsid sh -c 'echo $$ >> {pids}; setsid sleep 1000 & echo $! >> {pids}; wait' & wait"
    async with launched() as launcher:
        child = await launcher.spawn(["/bin/sh", "-c", script])
        fled = wait_until(lambda: _pids(pids) if len(_pids(pids)) == 2 else None)
        assert fled is not None

        await child.signal(signal.SIGKILL)
        await child.wait()

        assert [pid for pid in fled if Path(f"/proc/{pid}").exists()] == []


def _pids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []
