"""The file that says what is wanted of this machine, watched for as long as it runs.

A change is read, checked, planned and applied, or it changes nothing: then what is wrong with it is
kept for `status` until it is mended. What was applied is kept for a start at which the file is
broken. It starts and stops nothing itself; the fleet does.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import ConfigInvalid, StateUnavailable
from orchestrator.kernel.notify import Notifier
from orchestrator.supervisor import marks
from orchestrator.supervisor.config.loader import Loaded, load
from orchestrator.supervisor.config.problem import Problem, errors
from orchestrator.supervisor.fleet import Fleet
from orchestrator.supervisor.last_good import LastGood
from orchestrator.supervisor.logic.merging import with_parked
from orchestrator.supervisor.logic.wanted import MachineWanted
from orchestrator.supervisor.succession import Succession

LOGGER: Final = logging.getLogger(__name__)
LOOK_S: Final = 1.0
HALF_WRITTEN_S: Final = 1.0
"""A file that does not read may be half of one: it is looked at once more before it is told."""
SHOWN: Final = 20
"""So many problems go into a log line."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What is wrong with the file, as long as it is."""

    message: str
    at: float
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        listed = [problem.as_json() for problem in self.problems]
        return {"message": self.message, "at": self.at, "problems": listed}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Which file, and what to do if it is broken at the start."""

    path: Path
    environ: Mapping[str, str] = field(repr=False)
    notifier: Notifier = Notifier()
    succession: Succession = field(default_factory=Succession)
    state_dir: Path
    strict: bool = False
    """Do not start with the last good one."""
    waits: bool = False
    """Wait for a good one instead of ending."""


class Watcher:
    """One configuration file as the source of what is wanted."""

    def __init__(self, settings: FileSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._asked = Bell()
        self._is_asked = False
        self._begun = self._done = self._wanted = 0
        """Which of the times that somebody asked to look: begun with, done, and asked for last."""
        self._files: tuple[Path, ...] = (settings.path,)
        self._marks: marks.Marks = {}
        self._contents: marks.Contents = {}
        self._applied: LastGood | None = LastGood.find(settings.state_dir)
        self._is_kept = True
        """Whether what was applied last is written down."""
        self._loaded: Loaded | None = None
        self.banner: Banner | None = None
        self._looks = 0
        self._plan: str | None = None
        self._results: Counter[str] = Counter()

    async def first(self) -> MachineWanted:
        """Return what the file wants at the start, or what the last good one did."""
        while True:
            loaded = await self._read()
            if loaded.wanted is not None and self._is_worth_a_start(loaded, loaded.wanted):
                self._note_applied(loaded)
                return loaded.wanted
            kept = await self._last_good()
            if kept is None and not self._settings.waits:
                raise ConfigInvalid(
                    "\n".join(line for problem in loaded.problems for line in problem.render()),
                    hint="nothing was started; `orchestrator check` shows this again",
                )
            self._reject(loaded, "it cannot be used")
            if kept is not None:
                return kept
            await self._wait()

    def _is_worth_a_start(self, loaded: Loaded, wanted: MachineWanted) -> bool:
        """Tell whether there is anything to keep, or somebody who waits for it."""
        nothing = not wanted.workers and wanted.server is None
        return self._settings.waits or not (nothing and loaded.parked)

    async def _last_good(self) -> MachineWanted | None:
        """Return what was wanted when the file was good, if that may be used."""
        kept = self._applied
        if kept is None or self._settings.strict or kept.path != self._settings.path:
            return None
        loaded = await self._load(kept)
        if loaded.wanted is None:
            return None
        logs.event(
            LOGGER,
            logging.WARNING,
            "config.last_good_used",
            path=str(kept.path),
            generation=kept.generation,
            next="the file is applied as soon as it is mended",
        )
        self._loaded = loaded
        return loaded.wanted

    async def run(self, fleet: Fleet) -> None:
        """Apply what the file says, whenever it says something else."""
        while True:
            await self._wait(watch=fleet.wanted.watch)
            loaded = await self._read()
            if loaded.wanted is None:
                self._reject(loaded, "it changes nothing")
            else:
                self._apply(fleet, loaded.wanted, loaded)
            self._looks += 1

    def _apply(self, fleet: Fleet, wanted: MachineWanted, loaded: Loaded) -> None:
        names = {parked.name for parked in loaded.parked}
        found = fleet.apply(with_parked(fleet.wanted, wanted, names))
        self._plan = str(found)
        self._note_applied(loaded)
        logs.event(
            LOGGER,
            logging.INFO,
            "config.applied",
            generation=self._applied.generation if self._applied else None,
            plan=str(found),
        )

    async def _wait(self, *, watch: bool = True) -> None:
        """Return when a file has other content, or somebody asks."""
        self._done = self._begun  # who waits again has done what it was asked for
        self._asked.ring()
        while True:
            deadline = anyio.current_time() + LOOK_S
            await self._asked.until(lambda: self._is_asked, deadline=deadline)
            if self._is_asked:
                self._is_asked, self._begun = False, self._wanted
                await marks.settled(self._files)
                return
            if not self._is_kept:
                self._keep()
            if not watch:
                continue
            seen = marks.marks(self._files)
            if seen == self._marks:
                continue
            now = await marks.settled(self._files)
            self._marks = marks.marks(self._files)
            if now != self._contents:
                return

    async def _read(self) -> Loaded:
        """Load the file, once more if it may have been half of one."""
        loaded = await self._load(None)
        if loaded.wanted is None and self._loaded is not None:
            await anyio.sleep(HALF_WRITTEN_S)
            loaded = await self._load(None)
        return loaded

    async def _load(self, kept: LastGood | None) -> Loaded:
        settings = self._settings

        def loading() -> Loaded:
            return load(
                settings.path,
                settings.environ,
                state_dir=settings.state_dir,
                kept=None if kept is None else kept.raw,
                kept_included=None if kept is None else kept.included,
            )

        # Before it is read: what changes from here on is seen to be another content.
        before, seen = marks.contents(self._files), marks.marks(self._files)
        loaded = await to_thread.run_sync(loading)
        if kept is None:
            files = (settings.path, *loaded.files)
            new = [path for path in files if path not in before]
            self._contents = {path: before.get(path, "") for path in files} | marks.contents(new)
            self._marks = {path: seen.get(path) for path in files} | marks.marks(new)
            self._files = files
        return loaded

    def _note_applied(self, loaded: Loaded) -> None:
        """Keep what was applied, and say what is wrong with parts of it."""
        before = self._applied
        generation = 1 if before is None else before.generation
        if before is not None and before.digest != loaded.digest:
            generation += 1
        self._applied = LastGood(
            path=self._settings.path,
            raw=loaded.raw,
            included=loaded.included,
            digest=loaded.digest,
            generation=generation,
            applied_at=self._clock.now(),
        )
        self._keep()
        self._loaded, self.banner = loaded, None
        self._results["partly_applied" if errors(loaded.problems) else "applied"] += 1
        if wrong := errors(loaded.problems):
            self._complain(loaded, f"{_counted(wrong)} in {loaded.path}; first: {wrong[0]}")

    def _keep(self) -> None:
        """Write down what was applied; where there is no room, it runs all the same."""
        if self._applied is None:
            return
        was_kept = self._is_kept
        try:
            self._applied.keep(self._settings.state_dir)
            self._is_kept = True
        except StateUnavailable as error:
            self._is_kept = False
            if was_kept:
                logs.event(
                    LOGGER,
                    logging.WARNING,
                    "config.not_kept",
                    why=error.message,
                    hint=error.hint,
                    next="tried again; a start with a broken file goes by what was kept before",
                )

    def _reject(self, loaded: Loaded, what: str) -> None:
        self._results["rejected"] += 1
        wrong = errors(loaded.problems)
        first = wrong[0] if wrong else None
        self._complain(loaded, f"{_counted(wrong)}, so {what}; first: {first}")

    def _complain(self, loaded: Loaded, message: str) -> None:
        self.banner = Banner(message, self._clock.now(), loaded.problems)
        logs.event(
            LOGGER,
            logging.ERROR,
            "config.rejected" if loaded.wanted is None else "config.partly_applied",
            why=message,
            problems=[str(problem) for problem in loaded.problems[:SHOWN]],
        )

    def reload(self) -> bool:
        """Look at the file now, whether or not it seems to have changed."""
        self._is_asked = True
        self._wanted += 1
        self._asked.ring()
        return True

    async def looked(self) -> None:
        """Return when what was last asked for is done."""
        asked = self._wanted
        await self._asked.until(lambda: self._done >= asked)

    def greeting(self, fleet: Fleet) -> str:
        """Return that everything is up, and where to look."""
        works = sum(post.has_worked for post in fleet.posts)
        left = sum(post.is_parked for post in fleet.posts)
        if self._loaded is not None:
            left += len(self._loaded.parked)
        ill = f" ({left} more cannot: `orchestrator status` says why)" if left else ""
        return (
            f"Running {works} worker{'' if works == 1 else 's'} of {self._settings.path}{ill}; "
            "what is saved there is applied within two seconds. Ctrl-C drains."
        )

    def status(self) -> Mapping[str, object]:
        """Return what is to be said of the file."""
        loaded, applied = self._loaded, self._applied
        return {
            "source": "file",
            "path": str(self._settings.path),
            "digest": None if applied is None else applied.digest,
            "generation": None if applied is None else applied.generation,
            "applied_at": None if applied is None else applied.applied_at,
            "looks": self._looks,
            "plan": self._plan,
            "results": dict(self._results),
            "banner": None if self.banner is None else self.banner.as_json(),
            "parked": [
                {
                    "name": parked.name,
                    "place": str(parked.place),
                    "problems": [problem.as_json() for problem in parked.problems],
                }
                for parked in (loaded.parked if loaded is not None else ())
            ],
        }


def _counted(problems: tuple[Problem, ...]) -> str:
    return f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
