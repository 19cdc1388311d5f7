"""Put a world under the programs: which names of their modules stand for the world's things."""

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio.to_thread

import orchestrator.kernel.descriptors
import orchestrator.kernel.files
import orchestrator.kernel.lifeline
import orchestrator.kernel.linux
import orchestrator.kernel.packets
import orchestrator.server.operations.batches
import orchestrator.server.operations.bulk
import orchestrator.server.operations.output_plan
import orchestrator.server.output_log
import orchestrator.server.reserve
import orchestrator.supervisor.children
import worker.agent
import worker.capacity
import worker.pool
import worker.shim.attempt
import worker.shim.backlog
import worker.shim.journal
import worker.shim.layout
import worker.shim.room
import worker.spool.attempt_log
import worker.spool.identity
import worker.spool.ledger
import worker.spool.remains
import worker.spool.search
import worker.spool.segment
import worker.spool.shims
import worker.spool.spool
import worker.workspace
from orchestrator.kernel import host, logs
from orchestrator.kernel.errors import StateUnavailable
from orchestrator.protocol.frames import decode
from tests.simulation.world import syscalls
from tests.simulation.world.paths import SimPath
from tests.simulation.world.sockets import opened, pair

if TYPE_CHECKING:
    from tests.simulation.world.world import World

spool = worker.spool
shim = worker.shim


def install(world: "World") -> syscalls.Patches:
    """Let the programs live in that world until the patches are undone."""
    system = syscalls.Os(world)
    patches = syscalls.Patches()
    SimPath.world = world
    kernel = orchestrator.kernel
    modules: list[Any] = [
        kernel.files,
        kernel.linux,
        kernel.packets,
        orchestrator.server.output_log,
        orchestrator.server.reserve,
        orchestrator.supervisor.children,
        shim.journal,
        shim.backlog,
        shim.room,
        spool.ledger,
        spool.remains,
        spool.search,
        spool.segment,
        spool.shims,
        spool.spool,
        worker.capacity,
        worker.pool,
    ]
    patches.each(modules, "os", system)
    locks = syscalls.fcntl_of(world, system)
    patches.each([kernel.files, shim.journal, spool.search, spool.segment], "fcntl", locks)
    patches.each([shim.journal, spool.spool], "time", syscalls.time_of(world, system))
    signals = syscalls.signal_of(system)
    patches.each([spool.remains, spool.search, spool.shims, worker.pool], "signal", signals)
    patches.set(spool.remains, "select", syscalls.select_of(system))
    patches.set(spool.remains, "Path", SimPath)
    linux = _linux_of(world, system)
    for module in (shim.journal, shim.backlog, spool.remains, spool.segment):
        patches.set(module, "linux", linux)
    patches.set(spool.remains, "_kill_some", _hunting(world, spool.remains._kill_some))
    patches.set(shim.journal.Journal, "_begin", _beginning(world, shim.journal.Journal._begin))
    patches.set(spool.shims.FoundShim, "__init__", _finding(world, spool.shims.FoundShim.__init__))
    patches.set(spool.segment.Segment, "is_final", _tearing(world, spool.segment.Segment.is_final))
    patches.set(shim.room, "_fallocate", None)
    patches.set(kernel.descriptors, "left", lambda: 1000)
    # Looked at every second, they would be half of all that happens.
    patches.each([worker.capacity, worker.pool], "LOOK_S", 6.0)
    # A mebibyte for each spool is written with zeros; no frame here is a tenth of this.
    patches.set(spool.spool, "BUFFER_BYTES", 128 * 1024)
    patches.set(anyio.to_thread, "run_sync", syscalls.inline(world))
    patches.set(kernel.packets, "pair", _pair_of(world))
    patches.each([spool.spool, worker.workspace], "private_dir", lambda path, **_: path)
    patches.each([spool.identity, spool.spool], "write_private", _write_private)
    patches.set(spool.identity, "host", SimpleNamespace(machine_id=lambda: _machine(world)))
    patches.set(
        spool.identity, "secrets", SimpleNamespace(token_hex=lambda n: system.urandom(n).hex())
    )
    patches.set(worker.workspace.Workspaces, "leftovers", lambda _self, _keys: [])
    facts = host.facts()
    patches.set(worker.agent, "host", SimpleNamespace(facts=lambda: facts))
    patches.set(logs, "event", lambda *_args, **_keys: None)
    patches.set(logs, "bound", lambda **_keys: contextlib.nullcontext())
    return patches


def limit_output(patches: syscalls.Patches, part_bytes: int, cap_bytes: int) -> None:
    """Let a server keep so much of an output, in parts of that size."""
    plan = orchestrator.server.operations.output_plan
    patches.set(plan, "OUTPUT_PART_BYTES", part_bytes)
    patches.set(plan, "OUTPUT_CAP_BYTES", cap_bytes)
    patches.set(plan, "OUTPUT_HEAD_BYTES", cap_bytes // 8)
    patches.set(plan, "_TAIL_BYTES", cap_bytes - cap_bytes // 8)


def limit_steps(patches: syscalls.Patches) -> None:
    """Let a server do but a few jobs at a time of what it is told to do to many."""
    operations = orchestrator.server.operations
    patches.set(operations.bulk, "STEP", 2)
    patches.set(operations.batches, "STOPPED_AT_ONCE", 2)


def _beginning(world: "World", real: Any) -> Any:
    def begin(journal: Any, name: str) -> None:
        real(journal, name)
        if not name.endswith("-0"):
            world.sometimes("a segment is followed by another")

    return begin


def _finding(world: "World", real: Any) -> Any:
    def found(self: Any, *about: Any) -> None:
        world.sometimes("a shim is found again")
        real(self, *about)

    return found


def _tearing(world: "World", real: Any) -> Any:
    """Note when what is left of a dead shim's segment ends in a frame that is not whole."""

    def is_final(segment: Any) -> bool:
        final: bool = real(segment)
        if final:
            process = world.loop.current
            assert process is not None
            inode = process.machine.disk.names.get(str(segment.path))
            data = b"" if inode is None else bytes(inode.data)
            whole = [frame.end for frame in decode(data)]
            if len(data) > (whole[-1] if whole else 0):
                world.sometimes("an end is torn")
        return final

    return is_final


def _hunting(world: "World", real: Any) -> Any:
    """Let it be known whose remains are being killed."""

    def kill_some(key: tuple[str, int], process: Any) -> Any:
        hunter = world.loop.current
        assert hunter is not None
        hunter.hunts = key
        try:
            found = real(key, process)
            if found:
                world.sometimes("remains are killed")
            return found
        finally:
            hunter.hunts = None

    return kill_some


def _linux_of(world: "World", system: syscalls.Os) -> Any:
    def start_time(pid: int) -> int | None:
        found = system._caller().machine.processes.get(pid)
        return None if found is None else found.born

    return SimpleNamespace(
        start_time=start_time,
        boot_id=lambda: system._caller().machine.boot_id,
        open_pidfd=orchestrator.kernel.linux.open_pidfd,
    )


def _machine(world: "World") -> str:
    process = world.loop.current
    assert process is not None
    return process.machine.name


def _pair_of(world: "World") -> Any:
    def packet_pair() -> Any:
        process = world.loop.current
        assert process is not None
        ours, theirs = pair(world)
        return opened(process, ours), opened(process, theirs)

    return packet_pair


def _write_private(path: SimPath, text: str) -> None:
    """Write a small file as `kernel.files.write_private` does, step by step."""
    files: Any = orchestrator.kernel.files
    temporary = path.with_name(f".new-{path.name}")
    try:
        temporary.unlink(missing_ok=True)
        fd = files.os.open(temporary, files.os.O_CREAT | files.os.O_WRONLY)
        files.os.pwrite(fd, text.encode(), 0)
        files.os.fsync(fd)
        files.os.close(fd)
        temporary.replace(path)
        files.sync_dir(path.parent)
    except OSError as error:
        raise StateUnavailable(f"cannot write {path}: {error.strerror}") from error
