"""Who ends when somebody is killed: everything of ours with its parent, and a shim with its job."""

import json
import os
import signal
import threading
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel import launcher as launcher_process
from orchestrator.kernel import packets
from orchestrator.kernel.errors import InvariantViolated, LauncherGone
from orchestrator.kernel.launching import Exit, Launcher
from tests.integration.launcher.launched import HERE, Line, launched
from tests.support.processes import open_descriptors, program, python
from tests.support.waiting import wait_until

PARENT = "tests.integration.launcher.parent"
REPOSITORY = Path(__file__).parents[3]


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_when_the_parent_is_killed_only_shims_go_on(tmp_path: Path) -> None:
    """Launcher, nursery, worker and server end at once; the shim finishes and writes it down."""
    gate, record = tmp_path / "gate", tmp_path / "record"
    os.mkfifo(gate)
    argv = python("-m", PARENT, str(gate), str(record))
    with program(*argv, cwd=REPOSITORY) as parent:
        parent.wait_for("shim")
        pids = json.loads(parent.stdout)
        assert all(_alive(pid) for pid in pids.values())
        parent.family.look()

        parent.signal(signal.SIGKILL)

        shim = pids.pop("shim")
        wait_until(lambda: not any(_alive(pid) for pid in pids.values()))
        assert _alive(shim)
        gate.write_text("go on")
        wait_until(lambda: not _alive(shim))
        assert record.read_text() == "finished"


async def test_the_launcher_holds_nothing_of_its_parent(tmp_path: Path) -> None:
    """A file that somebody passed on to us is not open in the launcher or in its children."""
    with (tmp_path / "lock").open("w") as passed_on:
        os.set_inheritable(passed_on.fileno(), True)
        async with launched() as launcher:
            child = await launcher.spawn(["/bin/sleep", "1000"])
            parent = int(Path(f"/proc/{child.pid}/stat").read_text().split()[3])

            held = [*open_descriptors(parent).values(), *open_descriptors(child.pid).values()]

            assert str(tmp_path / "lock") not in held
            assert sorted(open_descriptors(child.pid)) == [0, 1, 2]
            await child.signal(signal.SIGKILL)
            await child.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_everybody_does_not_end_the_launcher(number: int) -> None:
    """It has a session of its own and ignores what others are stopped with."""
    process = launcher_process.start()
    async with Launcher.over(process) as launcher:
        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)
        assert os.getsid(process.pid) == process.pid

        os.kill(process.pid, number)

        child = await launcher.spawn(["/bin/sh", "-c", "kill -TERM $$"])
        assert await child.wait() == Exit(signal=signal.SIGTERM)  # not ignored by children


async def test_a_dead_launcher_is_noticed_by_all_who_wait() -> None:
    """Whoever waits for a child learns that nobody will ever know, and asking is an error."""
    process = launcher_process.start()
    async with Launcher.over(process) as launcher:
        line = Line()
        child = await launcher.fork(f"{HERE}:last", {}, fds=[line.fd])
        line.passed()
        assert await line.hear_number() == child.pid

        os.kill(process.pid, signal.SIGKILL)

        with anyio.fail_after(10):
            await launcher.gone()
            assert await child.wait() == Exit()
        with pytest.raises(LauncherGone):
            await launcher.spawn(["/bin/true"])
        await child.signal(signal.SIGKILL)  # nobody to send it, and nobody is hit
        assert _alive(child.pid)
        line.close()
        wait_until(lambda: not _alive(child.pid))


async def test_asking_is_not_torn_by_a_cancellation() -> None:
    """A child that was asked for just before a cancellation is known, and its end is heard."""
    async with launched() as launcher:
        children = []
        with anyio.CancelScope() as scope:
            scope.cancel()
            children.append(await launcher.spawn(["/bin/true"]))

        assert [await child.wait() for child in children] == [Exit(code=0)]


def test_the_launcher_is_started_before_threads() -> None:
    """A fork beside a thread could copy a lock that nobody will open: it is refused."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()

    with pytest.raises(InvariantViolated, match="before any thread"):
        launcher_process.start()

    done.set()
    thread.join()


def test_a_channel_can_be_lent_without_an_event_loop() -> None:
    """A program that wants only shims of its launcher needs no more than this."""
    process = launcher_process.start()
    ours, theirs = packets.pair()
    line = Line()

    process.lend(theirs.fileno(), f"{HERE}:leave")
    theirs.close()
    ours.send(packets.encode({"do": "shim", "args": {"code": 0}}))

    process.close()
    assert not _alive(process.pid)
    for end in (ours, line):
        end.close()


async def test_a_storm_of_signals_loses_no_exit() -> None:
    """Whatever is thrown at the launcher while children end, each end is told once and exactly."""
    process = launcher_process.start()
    async with Launcher.over(process) as launcher:
        await (await launcher.spawn(["/bin/true"])).wait()
        children = []
        for code in range(50):
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT):
                os.kill(process.pid, number)
            children.append(await launcher.spawn(["/bin/sh", "-c", f"exit {code}"]))

        with anyio.fail_after(10):
            assert [(await child.wait()).code for child in children] == list(range(50))


@pytest.fixture(params=["with a pidfd", "without"])
def descriptors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a platform that has descriptors of processes, and then one that has none."""
    if request.param == "without":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("descriptors")
def test_a_launcher_that_was_stopped_is_woken_to_end() -> None:
    """Whoever closes it does not wait for somebody else to continue it."""
    process = launcher_process.start()
    os.kill(process.pid, signal.SIGSTOP)

    killed = process.close()

    assert not killed
    assert not _alive(process.pid)


@pytest.mark.usefixtures("descriptors")
def test_a_launcher_that_does_not_end_is_killed() -> None:
    """It hangs for a reason of its own: nobody waits for ever, and the caller is told."""
    process = launcher_process.start(preload=["tests.integration.launcher.endless"])

    killed = process.close()

    assert killed
    assert not _alive(process.pid)
