"""Forked children, nurseries and shims: who has what, and who dies with whom."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel import packets
from orchestrator.kernel.errors import LaunchFailed
from orchestrator.kernel.launching import Exit
from tests.integration.launcher.launched import HERE, Line, ask_for_shim, launched
from tests.support.waiting import wait_until


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("how", "exit"),
    [
        ("return", Exit(code=0)),
        ("exit", Exit(code=3)),
        ("sentence", Exit(code=1)),
        ("error", Exit(code=70)),
        ("signal", Exit(signal=signal.SIGKILL)),
    ],
)
async def test_every_way_to_end_has_its_exit(how: str, exit: Exit) -> None:
    """A return, an exit, an error and a signal are told apart."""
    async with launched() as launcher:
        child = await launcher.fork(f"{HERE}:leave_in_many_ways", {"how": how})

        assert await child.wait() == exit


async def test_a_forked_child_has_its_own_descriptors_and_signals() -> None:
    """It has what was passed and nothing else of the launcher, of us, or of another child."""
    async with launched() as launcher:
        other, line = Line(), Line()
        last = await launcher.fork(f"{HERE}:last", {}, fds=[other.fd])
        await launcher.lend(other.fd, f"{HERE}:last")
        child = await launcher.fork(
            f"{HERE}:describe", {"a": 1}, fds=[line.fd], name="orch-test-of-a-long-name"
        )
        line.passed()
        told = await line.hear_all()

        assert told["args"] == {"a": 1}
        assert told["pid"] == child.pid
        assert len(told["fds"]) == 1
        assert told["open"] == [0, 1, 2, *told["fds"]]
        assert told["leads_session"]
        assert told["blocked"] == 0
        assert told["ignored"] == ["SIGPIPE", "SIGXFSZ"]
        assert told["stdin"] == "/dev/null"
        assert told["name"] == "orch-test-of-a-"
        other.close()
        await last.wait()
        await child.wait()
        line.close()


async def test_a_forked_child_can_run_an_event_loop() -> None:
    """Nothing of the loop that runs in us is left in a child."""
    async with launched() as launcher:
        line = Line()
        child = await launcher.fork(f"{HERE}:run_a_loop", {}, fds=[line.fd])
        line.passed()
        assert await line.hear() == b"up"

        line.close()

        assert await child.wait() == Exit(code=0)


@pytest.mark.parametrize("entry", ["no.such.module:main", f"{HERE}:no_such_function"])
async def test_an_entry_that_does_not_exist_is_named(entry: str) -> None:
    """The error names it, and no child is made."""
    async with launched() as launcher:
        with pytest.raises(LaunchFailed, match=entry.partition(":")[2] or entry):
            await launcher.fork(entry, {})


async def test_a_nursery_imports_once_for_all() -> None:
    """Its children find the module loaded, and are children of the nursery."""
    async with launched() as launcher:
        line = Line()
        nursery = await launcher.nursery(["colorsys"])

        child = await nursery.fork(f"{HERE}:describe", {}, fds=[line.fd])
        told = await line.hear_all()

        assert told["loaded"]
        assert await child.wait() == Exit(code=0)
        line.close()


async def test_a_nursery_that_cannot_import_says_what() -> None:
    """The error names the module, and the launcher lives on."""
    async with launched() as launcher:
        with pytest.raises(LaunchFailed, match=r"no_such_module"):
            await launcher.nursery(["no_such_module"])

        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)


async def test_nobody_adopts_the_children_of_a_dead_nursery() -> None:
    """When a nursery is killed its workers are dead before anybody hears of it."""
    async with launched() as launcher:
        nursery = await launcher.nursery([])
        line = Line()
        worker = await nursery.fork(f"{HERE}:last", {}, fds=[line.fd])
        line.passed()
        await line.hear()
        await nursery.prod(signal.SIGKILL)

        with anyio.fail_after(10):
            assert await worker.wait() == Exit()

        assert not _alive(worker.pid)
        assert nursery.is_gone
        assert not launcher.is_gone
        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)
        line.close()


async def test_shims_are_forked_on_request_of_whoever_holds_the_channel() -> None:
    """A lent channel forks its entry and nothing else, each with its own line."""
    async with launched() as launcher:
        ours, theirs = packets.pair()
        await launcher.lend(theirs.fileno(), f"{HERE}:describe")
        theirs.close()
        first, second = Line(), Line()

        for line in (first, second):
            ask_for_shim(ours, line.fd, spool="here")
            line.passed()
        told = [await first.hear_all(), await second.hear_all()]

        groups = [shim["args"].pop("cgroup") for shim in told]
        assert [shim["args"] for shim in told] == [{"spool": "here"}] * 2
        assert groups == [None, None] or len(set(groups)) == 2
        assert {shim["name"] for shim in told} == {"orch-shim"}
        assert [len(shim["open"]) for shim in told] == [4, 4]
        assert await first.hear() == b""
        for end in (ours, first, second):
            end.close()


async def test_nonsense_on_a_lent_channel_costs_only_that_channel() -> None:
    """The launcher hangs up on a worker that breaks the protocol, and serves the others."""
    async with launched() as launcher:
        bad, theirs = packets.pair()
        await launcher.lend(theirs.fileno(), f"{HERE}:last")
        theirs.close()

        bad.send(b"not json")

        await anyio.wait_readable(bad)
        assert bad.recv(10) == b""
        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)
        bad.close()


async def test_what_a_dead_shim_leaves_is_killed_to_the_last() -> None:
    """Its command and a daemon of it, each in a session of its own, do not survive it."""
    async with launched() as launcher:
        ours, theirs = packets.pair()
        await launcher.lend(theirs.fileno(), f"{HERE}:leave_a_family")
        theirs.close()
        line = Line()
        ask_for_shim(ours, line.fd, middle_dies=False)
        line.passed()
        family = [await line.hear_number(), await line.hear_number()]
        [shim] = [pid for pid in _children_named("orch-shim") if pid not in family]

        os.kill(shim, signal.SIGKILL)

        wait_until(lambda: not any(_alive(pid) for pid in [shim, *family]))
        assert await (await launcher.spawn(["/bin/true"])).wait() == Exit(code=0)
        line.close()
        ours.close()


async def test_an_orphan_in_the_group_of_a_living_child_dies_alone() -> None:
    """A worker whose grandchild lost its parent is not taken along."""
    async with launched() as launcher:
        line = Line()
        worker = await launcher.fork(
            f"{HERE}:leave_a_family", {"session": False, "middle_dies": True}, fds=[line.fd]
        )
        line.passed()
        orphan = await line.hear_number()

        other = await launcher.spawn(["/bin/true"])  # any end makes the launcher look around
        await other.wait()

        wait_until(lambda: not _alive(orphan))
        assert _alive(worker.pid)
        await worker.signal(signal.SIGKILL)
        assert await worker.wait() == Exit(signal=signal.SIGKILL)
        line.close()


def _children_named(name: str) -> list[int]:
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == name and _below_us(int(comm.parent.name)):
                found.append(int(comm.parent.name))
        except OSError:
            continue
    return found


def _below_us(pid: int) -> bool:
    while pid > 1:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
        if pid == os.getpid():
            return True
    return False
