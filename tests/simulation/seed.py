"""One seed, from its options to its verdict: a time of faults, a healing, a time to settle."""

import gc
import random
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation import patching
from tests.simulation.checkers import Checkers
from tests.simulation.ending import Ending
from tests.simulation.faults import FAULTS, OF_THEMES
from tests.simulation.nemesis import Nemesis
from tests.simulation.parts.crowds import Crowds
from tests.simulation.parts.database import Database
from tests.simulation.parts.plan import drawn
from tests.simulation.parts.rivals import make_rival
from tests.simulation.parts.schedules import keep_schedules
from tests.simulation.parts.sharing import Queues, make_shared
from tests.simulation.scene import Scene
from tests.simulation.themes import Theme, theme_of
from tests.simulation.world.process import Killed
from tests.simulation.world.syscalls import Patches
from tests.simulation.world.world import World

Plant = Callable[[Patches], None]
SETTLE_S: Final = 900.0
"""Longer than the longest job with all its tries, and then a lease and a reaper's round."""
BEGUN_S: Final = 15.0
"""Until everybody is there, where nothing goes wrong."""
QUIET_S: Final = 8.0
"""For what comes after the last end: acknowledgements, the spool's tidying."""
LEFT_S: Final = 120.0
"""For commands that nobody wants any more: until their worker's last unanswered call is given up,
it has paused, it is told, and their grace is over."""
LATECOMERS: Final = 3
"""How often a request that the network repeats may begin something when all has settled."""
COLLECT: Final = 100
"""Each seed leaves two megabytes of cycles: to look for them takes longer than to have them."""
CHATTY: Final = 8
PLAIN: Final = Theme((), least_s=0.0)
MEAN_S: Final = (10.0, 30.0, 90.0)


@dataclass(frozen=True, slots=True)
class Options:
    """What a seed makes of its world; a shrunken one has less of it."""

    seed: int
    kinds: tuple[tuple[str, float], ...]
    jobs: int
    horizon: float
    hosts: tuple[tuple[int, ...], ...]
    rotate_bytes: int
    longer: float = 1.0
    chatty: bool = False
    part_bytes: int = 4 * 1024 * 1024
    cap_bytes: int = 64 * 1024 * 1024
    """Of an output; an eighth of it is kept from the beginning."""
    schedules: int = 0
    rivals: bool = False
    shared: bool = False
    crowds: bool = False

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} every {mean:g} s" for kind, mean in self.kinds) or "none"
        return (
            f"seed {self.seed}: {self.jobs} jobs, machines {list(map(list, self.hosts))}, "
            f"{self.horizon:.0f} s, segments of {self.rotate_bytes} B, output in parts of "
            f"{self.part_bytes} B up to {self.cap_bytes} B; faults: {kinds}"
        )


@dataclass(slots=True)
class Verdict:
    """What came of a seed."""

    options: Options
    violations: list[str]
    trace: int
    events: int
    seconds: float
    injected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)


def options_of(seed: int) -> Options:
    """Return what a seed stands for: a random subset of faults, each at a rate of its own."""
    chance = random.Random(f"options {seed}")
    share = chance.choice((0.1, 0.25, 0.5))
    kinds = {kind: chance.choice(MEAN_S) for kind in FAULTS if chance.random() < share}
    theme = theme_of(seed) or PLAIN
    kinds = {} if theme.alone else kinds
    kinds |= dict.fromkeys(theme.kinds, theme.mean_s)
    hosts = chance.choice((((2,), (1, 2)), ((1, 1, 2),), ((2,), (1,), (3,)), ((2, 2),), ((1,),)))
    return Options(
        seed=seed,
        kinds=tuple(kinds.items()),
        jobs=chance.randrange(6, 18) * theme.crowd,
        horizon=max(chance.choice((30.0, 60.0, 120.0)) * chance.uniform(0.5, 1.5), theme.least_s),
        longer=theme.longer,
        chatty=theme.chatty,
        hosts=theme.hosts or hosts,
        schedules=theme.schedules,
        rivals=theme.rivals,
        shared=theme.shared,
        crowds=theme.crowds,
        rotate_bytes=theme.rotate_bytes or chance.choice((600, 4096, 8 * 1024 * 1024)),
        part_bytes=chance.choice((4096, 8192, 4 * 1024 * 1024)),
        cap_bytes=chance.choice((16 * 1024, 64 * 1024 * 1024, 64 * 1024 * 1024)),
    )


class Laboratory:
    """Runs seeds, one after the other, on one database."""

    def __init__(self) -> None:
        self._database = Database()
        self._count = 0
        gc.collect()
        gc.freeze()
        gc.disable()
        sys.unraisablehook = _unraisable

    def run(
        self, options: Options, *, telling: bool = False, plant: Plant | None = None
    ) -> Verdict:
        """Return what comes of a seed; `plant` puts a bug into the programs first."""
        self._count += 1
        if self._count % COLLECT == 0:
            gc.collect()
        self._database.empty()
        world = World(options.seed, telling=telling)
        self._database.violated = world.violated
        patches = patching.install(world)
        patches.set(patching.shim.layout, "ROTATE_BYTES", options.rotate_bytes)
        patching.limit_output(patches, options.part_bytes, options.cap_bytes)
        if options.crowds:
            patching.limit_steps(patches)
        if plant is not None:
            plant(patches)
        try:
            self._play(world, options)
        except BaseException as error:  # noqa: BLE001 - a bug of ours or of theirs: told with its seed
            world.violated("crash", _told(error))
        finally:
            world.end()
            patches.undo()
        loop = world.loop
        return Verdict(
            options,
            world.violations,
            world.trace,
            loop.events,
            loop.now,
            world.injected,
            world.seen,
            world.story,
        )

    def _play(self, world: World, options: Options) -> None:
        scene = Scene(world, self._database, hosts=options.hosts)
        checkers = Checkers(scene)
        scene.watch(checkers)
        if options.shared:
            checkers.share()
            scene.server.is_shared = options.crowds
            Queues(scene, options.seed, options.horizon)
        if options.crowds:
            Crowds(scene, options.seed, options.horizon)
        if not options.kinds:
            checkers.healed_s = BEGUN_S
        scene.start()
        self._order(scene, options)
        keep_schedules(scene, options.seed, options.schedules, options.horizon)
        nemesis = Nemesis(scene, dict(options.kinds), FAULTS | OF_THEMES)
        checkers.calm_since = lambda: max(
            nemesis.calm_since, scene.restarted_at, scene.network.repeated_at
        )
        nemesis.begin(options.horizon)
        world.run(options.horizon)
        if world.violations:
            return
        world.note("healed")
        nemesis.heal()
        scene.people.is_calm = True
        world.run(scene.schedules_left_s())
        # A retry has its moment on the wall: it comes later by as much as that was set back.
        settle_s = SETTLE_S + scene.server.machine.clocks.set_back
        for _ in range(LATECOMERS):
            world.run(settle_s, lambda: not checkers.open and not scene.people.busy)
            world.run(QUIET_S)
            if not checkers.open:
                break
        ending = Ending(scene)
        world.run(LEFT_S, lambda: not ending.left_behind())
        if not world.violations:
            ending.at_the_end()
            checkers.at_the_end()

    @staticmethod
    def _order(scene: Scene, options: Options) -> None:
        """Have jobs submitted, cancelled and asked for twice."""
        chance, people = scene.world.chance, scene.people
        for number in range(options.jobs):
            plan = scene.plans[number] = drawn(number, chance)
            plan.seconds *= options.longer
            scene.company.join(plan)
            if options.rivals:
                make_rival(plan, options.seed)
            if options.shared:
                make_shared(plan, options.seed, only_waits=not options.crowds)
            plan.lines = max(plan.lines, CHATTY) if options.chatty else plan.lines
            when = chance.uniform(0.2, options.horizon * 0.8)
            order = people.submit_at(when, plan)
            if chance.random() < 0.2:
                later = when + chance.choice((0.1, 2.0, 20.0))
                people.cancel_at(later, order, force=chance.random() < 0.3)
            if chance.random() < 0.15:
                later = when + chance.uniform(0.0, 40.0)
                people.repeat_at(later, order, other_body=chance.random() < 0.4)
            if chance.random() < 0.15:
                people.hold_at(when + chance.choice((0.05, 1.0, 10.0)), order)
            if chance.random() < 0.15:
                people.retry_at(when + chance.uniform(0.0, 60.0), order)


def _unraisable(about: Any) -> None:
    """Say nothing of what the generators of killed processes complain about on their way out."""
    if not isinstance(about.exc_value, RuntimeError | ValueError | Killed):
        sys.__unraisablehook__(about)


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    if isinstance(error, BaseExceptionGroup):
        return f"{where}: " + "; ".join(_told(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error} ({where})"
