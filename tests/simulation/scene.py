"""One seed's scene: a server, a few machines with workers, people, and what is known of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.kernel.errors import OrchestratorError, PeerBroken, Unavailable
from orchestrator.protocol.tokens import make_token
from orchestrator.protocol.wire import EnrolRequest
from orchestrator.protocol.wire import Host as HostFacts
from orchestrator.server.operations.workers import EnrolIds, enrol
from tests.simulation.parts.company import Company
from tests.simulation.parts.database import Database
from tests.simulation.parts.host import Host
from tests.simulation.parts.people import People
from tests.simulation.parts.plan import Ledger, Plan
from tests.simulation.parts.schedules import ALARM_S
from tests.simulation.parts.server import Server
from tests.simulation.parts.worker import WorkerProgram
from tests.simulation.world.network import Network
from tests.simulation.world.process import Process
from tests.simulation.world.world import World

if TYPE_CHECKING:
    from tests.simulation.checkers import Checkers
    from worker.agent import Agent
    from worker.shim.line import Grant

FACTS = HostFacts(
    hostname="oak", platform="linux", arch="x86_64", cpu_count=2, memory_bytes=1, python="3.11"
)


class Scene:
    """Who is there."""

    def __init__(self, world: World, database: Database, *, hosts: Sequence[Sequence[int]]) -> None:
        """`hosts` gives the slots of each worker of each machine."""
        self.world = world
        self.database = database
        self.ledger = Ledger()
        self.restarted_at = 0.0
        """When any supervisor, or the server, last began."""
        self.plans: dict[int, Plan] = {}
        self.company = Company(world.seed)
        self.before_a_cut: Callable[[Host], None] = lambda _host: None
        self.starts_once: Callable[[str, int], None] = lambda _job, _attempt: None
        self.agents: dict[str, Agent] = {}
        self.network = Network(world)
        self.server = Server(world, world.machine("server"), self.network, database)
        self.network.listener = self.server
        self.desk = world.machine("desk")
        self.people = People(self, self.desk.spawn("people"))
        self.held: set[str] = set()
        """Jobs that are kept back, as the database has them."""
        self.let_go: Callable[[str], None] = lambda _job: None
        self.hosts = [self._host(number, slots) for number, slots in enumerate(hosts)]

    def _host(self, number: int, slots: Sequence[int]) -> Host:
        chance = self.world.chance
        machine = self.world.machine(
            f"m{number}", rate=chance.uniform(0.995, 1.005), wall_offset=chance.uniform(-5, 5)
        )
        names = [f"w{number}{letter}" for letter in "abc"[: len(slots)]]
        programs = [
            WorkerProgram(self, name, count) for name, count in zip(names, slots, strict=True)
        ]
        for program in programs:
            self._enrol(program.name)
        return Host(self, machine, programs)

    def _enrol(self, name: str) -> None:
        server = self.server
        ids = EnrolIds(
            server.new_id("machine"), server.new_id("worker"), make_token("secret", bytes(32))
        )
        request = EnrolRequest(name=name, fingerprint=f"the machine of {name}", host=FACTS)
        ids = EnrolIds(ids.machine_id, ids.worker_id, self.world.ids.randbytes(16).hex())
        reply, _ = self.database.write(lambda tx: enrol(tx, request, ids=ids), 0)
        server.workers[name] = reply.worker_id

    def start(self) -> None:
        """Start all programs."""
        self.server.start()
        self.people.look()
        for host in self.hosts:
            host.start()

    def plan_of(self, argv: Sequence[str]) -> Plan:
        """Return what that command is to do."""
        return self.plans[int(argv[1])]

    def started(self, grant: "Grant", process: Process) -> None:
        """Write into the ledger that a command starts: at most once for each attempt."""
        truth = self.ledger.of(grant.job, grant.attempt)
        truth.started += 1
        truth.machine = process.machine.name
        self.ledger.starts[grant.job] += 1
        self.world.note("starts", grant.job, grant.attempt, process)
        once = self.plan_of(grant.argv).fields.get("execution") == "at_most_once"
        if once:
            self.starts_once(grant.job, grant.attempt)
        if truth.started > 1:
            self.world.violated("I4", f"{grant.job} attempt {grant.attempt} was started again")

    def is_transient(self, error: OrchestratorError) -> bool:
        """Tell whether a client asks again after that."""
        return isinstance(error, Unavailable | PeerBroken)

    def watch(self, checkers: "Checkers") -> None:
        """Let the checkers hear of everything."""
        self.server.checkers = checkers
        self.held = checkers.held
        self.let_go = checkers.let_go
        self.starts_once = checkers.starts_once
        self.before_a_cut = checkers.before_a_cut
        self.database.state = checkers.state
        self.database.told = checkers.told
        self.database.claimed = checkers.claimed
        self.database.ended = checkers.ended

    def plan_of_job(self, job_id: str) -> Plan | None:
        """Return what that job is to do."""
        for order in self.people.orders:
            if order.acked == job_id and not order.is_guest:
                return order.plan
        return None

    def is_once(self, job_id: str) -> bool:
        """Tell whether a job may be started only once."""
        plan = self.plan_of_job(job_id)
        return plan is not None and plan.fields.get("execution") == "at_most_once"

    @property
    def spools_lost(self) -> bool:
        """Tell whether the memory of any worker was taken away."""
        return any(host.spools_lost for host in self.hosts)

    def schedules_left_s(self) -> float:
        """Return how long it takes until the last moment of a schedule has been looked at."""
        ends = [spec.end.timestamp() for spec in self.people.schedules if spec.end is not None]
        wall_s = self.server.machine.clocks.wall(self.world.loop.now)
        return max(0.0, *(end - wall_s for end in ends)) + ALARM_S if ends else 0.0

    def is_spool_whole(self, job_id: str, attempt: int) -> bool:
        """Tell whether nothing was taken from the memory of the machine that ran it."""
        name = self.ledger.of(job_id, attempt).machine
        return not any(
            host.power_cuts or host.spools_lost for host in self.hosts if host.machine.name == name
        )
