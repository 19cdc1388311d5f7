"""What goes wrong: kinds of faults, of which each seed takes some, each at a rate of its own.

A fault breaks something and says how long it lasts; when it is over, or when the world is healed,
it mends what it broke. Nothing here knows what should come of it.
"""

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orchestrator.protocol.limits import LEASE_S
from orchestrator.supervisor.logic.shutdown import Push
from tests.simulation.nemesis import Fault, Nemesis
from tests.simulation.world.machine import PIDS, Machine
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.parts.host import Host

BACKUP: Final = 0.6
"""How often a backup is made, rather than brought back."""
PLACES: Final = {
    "worker": ("pwrite", "fsync", "rename"),
    "shim": ("pwrite", "granted", "spawned", "began", "exit", "exited", "rename", "fsync"),
    "server": ("before_commit", "after_commit"),
}


def _nothing() -> None:
    return


def _killed(process: Process | None) -> Fault | None:
    if process is None:
        return None
    process.machine.kill(process)
    return Fault(0.0, _nothing)


def _frozen(process: Process | None, seconds: float) -> Fault | None:
    if process is None:
        return None
    process.machine.freeze(process)
    return Fault(seconds, lambda: process.machine.thaw(process))


def _server_kill(nemesis: Nemesis) -> Fault:
    nemesis.scene.server.kill()
    return Fault(nemesis.seconds(0.1, 20.0), nemesis.scene.server.start)


def _server_outage(nemesis: Nemesis) -> Fault:
    nemesis.scene.server.kill()
    return Fault(nemesis.seconds(30.0, 150.0), nemesis.scene.server.start)


def _server_freeze(nemesis: Nemesis) -> Fault | None:
    mend = nemesis.scene.server.freeze()
    return None if mend is None else Fault(nemesis.seconds(1.0, 120.0), mend)


def _server_full(nemesis: Nemesis) -> Fault:
    server = nemesis.scene.server
    server.disk_full = server.machine.disk.full = True

    def mend() -> None:
        server.disk_full = server.machine.disk.full = False

    return Fault(nemesis.seconds(0.5, 30.0), mend)


def _server_power(nemesis: Nemesis) -> Fault:
    nemesis.scene.server.machine.power_cut()
    nemesis.scene.network.server_died(None)
    return Fault(nemesis.seconds(5.0, 60.0), nemesis.scene.server.start)


def _restore(nemesis: Nemesis) -> Fault | None:
    """Take a backup; or bring one back, if there is one."""
    server, chance = nemesis.scene.server, nemesis.scene.world.chance
    if not server.backups or chance.random() < BACKUP:
        server.back_up()
        return Fault(0.0, _nothing, harmless=True)
    server.bring_back(chance.choice(server.backups))
    return Fault(nemesis.seconds(0.5, 100.0), server.start)


def _power(nemesis: Nemesis) -> Fault:
    return cut(nemesis.host(), nemesis.seconds(1.0, 90.0))


def cut(host: "Host", seconds: float) -> Fault:
    """Pull the cord of a machine."""
    host.wanted_up = False
    host.power_cuts += 1
    host.scene.before_a_cut(host)
    host.machine.power_cut()

    def mend() -> None:
        host.wanted_up = True
        host.start()

    return Fault(seconds, mend)


def _suspend(nemesis: Nemesis) -> Fault | None:
    machine = nemesis.host().machine
    if machine.frozen:
        return None
    machine.suspend()
    boot = machine.boot

    def mend() -> None:
        if machine.boot == boot:
            machine.resume()

    return Fault(nemesis.seconds(5.0, 200.0), mend)


def _partition(nemesis: Nemesis) -> Fault:
    link = nemesis.scene.network.link(nemesis.host().machine)
    there, back = nemesis.scene.world.chance.choice(((1, 1), (1, 0), (0, 1)))
    link.blocked_there += there
    link.blocked_back += back

    def mend() -> None:
        link.blocked_there -= there
        link.blocked_back -= back

    return Fault(nemesis.seconds(1.0, 150.0), mend)


def _cut_off(nemesis: Nemesis) -> Fault:
    """Part a machine from the server for longer than a lease."""
    link = nemesis.scene.network.link(nemesis.host().machine)
    link.blocked_there += 1
    link.blocked_back += 1

    def mend() -> None:
        link.blocked_there -= 1
        link.blocked_back -= 1

    return Fault(nemesis.seconds(LEASE_S + 5.0, 2 * LEASE_S), mend)


def _lossy(nemesis: Nemesis) -> Fault:
    machines = [*(host.machine for host in nemesis.scene.hosts), nemesis.scene.desk]
    chance = nemesis.scene.world.chance
    link = nemesis.scene.network.link(chance.choice(machines))
    link.drop, link.lose_answer = chance.uniform(0, 0.3), chance.uniform(0, 0.4)
    link.spikes, link.duplicate = chance.uniform(0, 0.3), chance.uniform(0, 0.3)

    def mend() -> None:
        link.drop = link.lose_answer = link.spikes = link.duplicate = 0.0

    return Fault(nemesis.seconds(5.0, 60.0), mend)


def _disk_full(nemesis: Nemesis) -> Fault:
    disk = nemesis.host().machine.disk
    disk.full = True

    def mend() -> None:
        disk.full = False

    return Fault(nemesis.seconds(0.5, 30.0), mend)


def _disk_broken(nemesis: Nemesis) -> Fault:
    nemesis.host().machine.disk.broken_syncs += 1
    return Fault(0.0, _nothing)


def _disk_lies(nemesis: Nemesis) -> Fault:
    """Let a disk keep in its cache what it says that it has; and cut the power at the end."""
    host = nemesis.host()
    host.machine.disk.lies = True
    host.lies += 1

    def mend() -> None:
        if host.machine.disk.lies:
            fault = cut(host, 1.0)
            nemesis.scene.world.loop.after(fault.seconds, fault.mend)

    return Fault(nemesis.seconds(0.5, 20.0), mend)


def _clock_jump(nemesis: Nemesis) -> Fault:
    chance = nemesis.scene.world.chance
    machine: Machine = chance.choice(nemesis.scene.world.machines)
    machine.clocks.jump(chance.choice((-3600.0, 3600.0, -5.0, 5.0, 86400.0 * 365)))
    return Fault(0.0, _nothing)


def _all_but_shims(nemesis: Nemesis) -> Fault:
    host = nemesis.host()
    for process in list(host.machine.processes.values()):
        if process.alive and process.name.startswith(("launcher", "supervisor", "w")):
            host.machine.kill(process)
    return Fault(0.0, _nothing)


def _drain(nemesis: Nemesis) -> Fault:
    host = nemesis.host()
    host.push(Push.ASKED)
    if nemesis.scene.world.chance.random() < 0.5:
        return Fault(0.0, _nothing, harmless=True)
    return Fault(nemesis.seconds(1.0, 60.0), lambda: host.push(Push.URGED))


def _interrupt(nemesis: Nemesis) -> Fault:
    nemesis.host().push(Push.URGED)
    return Fault(0.0, _nothing)


def _shutdown(nemesis: Nemesis) -> Fault:
    """Tell every process that the machine shuts down."""
    machine = nemesis.host().machine
    for process in list(machine.processes.values()):
        if process.name.startswith(("shim", "job")):
            machine.signal(process, signal.SIGTERM)
    return Fault(0.0, _nothing)


def _strangers(nemesis: Nemesis) -> Fault:
    """Let pids be used again, by processes that have nothing to do with us."""
    machine = nemesis.host().machine
    some = []
    for _ in range(nemesis.scene.world.chance.randrange(1, PIDS)):
        if machine.is_crowded:
            break
        stranger = machine.spawn("stranger")
        if nemesis.scene.world.chance.random() < 0.8:
            machine.end(stranger)
        else:
            some.append(stranger)

    def mend() -> None:
        for stranger in some:
            machine.end(stranger)

    return Fault(nemesis.seconds(1.0, 30.0), mend)


def _spool_lost(nemesis: Nemesis) -> Fault | None:
    """Let somebody remove a worker's state while no worker runs."""
    host = nemesis.host()
    for process in list(host.machine.processes.values()):
        if process.alive and process.name.startswith(("launcher", "supervisor", "w", "shim")):
            host.machine.kill(process)
    disk = host.machine.disk
    for name in sorted(disk.names):
        disk.unlink(name)
    host.spools_lost += 1
    return Fault(0.0, _nothing)


def _trap(nemesis: Nemesis) -> Fault:
    """Wait for a process at the worst place, and kill it there, or cut the power."""
    world = nemesis.scene.world
    chance = world.chance
    who = chance.choice(sorted(PLACES))
    place = chance.choice(PLACES[who])
    left = [chance.randrange(1, 6)]
    powerful = chance.random() < 0.3 and who != "server"
    name = {"worker": "w", "shim": "shim", "server": "server"}[who]

    def spring(process: Process) -> None:
        if not process.name.startswith(name) or left[0] == 0:
            return
        left[0] -= 1
        if left[0] == 0:
            world.injected[f"{who} dies at {place}"] += 1
            world.note("trapped", who, place, process)
            host = next(
                (one for one in nemesis.scene.hosts if one.machine is process.machine), None
            )
            if powerful and host is not None:
                fault = cut(host, nemesis.seconds(1.0, 30.0))
                world.loop.after(fault.seconds, fault.mend)
            if process.name == "server":
                world.loop.after(nemesis.seconds(0.1, 10.0), nemesis.scene.server.start)
            process.machine.dies_here(process)

    world.traps[place] = spring

    def mend() -> None:
        if world.traps.get(place) is spring:
            del world.traps[place]

    return Fault(nemesis.seconds(10.0, 120.0), mend)


def _programs_gone(nemesis: Nemesis) -> Fault:
    """Let no command be started on a machine for a while."""
    machine = nemesis.host().machine
    machine.is_broken = True

    def mend() -> None:
        machine.is_broken = False

    return Fault(nemesis.seconds(60.0, 240.0), mend, harmless=True)


def _order_cut_off(nemesis: Nemesis) -> Fault:
    """Wait for a server that does what was ordered of many jobs, and let it die before the rest."""
    world = nemesis.scene.world
    left = [world.chance.randrange(1, 4)]

    def spring(process: Process) -> None:
        left[0] -= 1
        if left[0] == 0:
            del world.traps["advanced"]
            world.sometimes("a server dies in an order for many jobs")
            world.loop.after(nemesis.seconds(0.1, 10.0), nemesis.scene.server.start)
            process.machine.dies_here(process)

    world.traps["advanced"] = spring
    return Fault(nemesis.seconds(10.0, 60.0), lambda: world.traps.pop("advanced", None) and None)


OF_THEMES: Final[dict[str, Callable[[Nemesis], Fault | None]]] = {
    "programs gone": _programs_gone,
    "order cut off": _order_cut_off,
}
"""What happens in themes alone."""
FAULTS: Final[dict[str, Callable[[Nemesis], Fault | None]]] = {
    "server killed": _server_kill,
    "server away": _server_outage,
    "server stopped": _server_freeze,
    "server disk full": _server_full,
    "server power cut": _server_power,
    "restore": _restore,
    "worker killed": lambda nemesis: _killed(nemesis.process("w")),
    "worker stopped": lambda n: _frozen(n.process("w"), n.seconds(1.0, 150.0)),
    "shim killed": lambda nemesis: _killed(nemesis.process("shim")),
    "shim stopped": lambda n: _frozen(n.process("shim"), n.seconds(1.0, 30.0)),
    "launcher killed": lambda nemesis: _killed(nemesis.process("launcher")),
    "supervisor killed": lambda nemesis: _killed(nemesis.process("supervisor")),
    "supervisor stopped": lambda n: _frozen(n.process("supervisor"), n.seconds(1.0, 60.0)),
    "all but shims killed": _all_but_shims,
    "job killed": lambda nemesis: _killed(nemesis.process("job")),
    "drain": _drain,
    "interrupt": _interrupt,
    "shutdown": _shutdown,
    "power cut": _power,
    "suspend": _suspend,
    "partition": _partition,
    "cut off": _cut_off,
    "lossy network": _lossy,
    "disk full": _disk_full,
    "sync fails": _disk_broken,
    "disk lies": _disk_lies,
    "clock jumps": _clock_jump,
    "strangers": _strangers,
    "spool lost": _spool_lost,
    "trap": _trap,
}
