"""The brood of a launcher: its children, those that it started and those that it inherited.

It starts programs, notes who was started for whom, tells who ended, and kills whoever was orphaned
into its hands. It reads no socket and answers nobody. Standard library only.

Everything here relies on one thing: a pid of a child cannot be used again before we have waited for
it. So a signal to a child of ours never hits a stranger.
"""

import contextlib
import fcntl
import os
import signal
from typing import Final, NamedTuple

from orchestrator.kernel import linux, packets
from orchestrator.kernel.cgroups import Cgroup

FIRST_FD: Final = 3
SIGNALS: Final = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
"""All whose meaning can be set."""


class Ended(NamedTuple):
    """A child that was started under a number has ended."""

    number: int
    pid: int
    code: int | None
    signal: int | None


class Brood:
    """Who is whose."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._unreported: set[int] = set()
        self._groups: dict[int, Cgroup] = {}
        self._dying: list[Cgroup] = []
        """Whose child has ended, and in which somebody may not have noticed yet."""

    def __bool__(self) -> bool:
        """Tell whether anybody is there who could leave orphans."""
        return bool(self._numbers or self._unreported)

    def add(self, pid: int, number: int | None, group: Cgroup | None = None) -> None:
        """Note a child; one without a number is nobody's business but its own when it ends.

        Whoever is left in its group then is killed.
        """
        if group is not None:
            self._groups[pid] = group
        if number is None:
            self._unreported.add(pid)
        else:
            self._numbers[pid] = number

    def signal(self, number: int, what: int) -> None:
        """Signal a child, if it has not been waited for yet."""
        for pid, known in self._numbers.items():
            if known == number:
                os.kill(pid, what)

    def reap(self) -> list[Ended]:
        """Wait for all children that have ended, and return those that were started by number."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._unreported.discard(pid)
                if (group := self._groups.pop(pid, None)) is not None:
                    group.kill()
                    self._dying.append(group)
                if (number := self._numbers.pop(pid, None)) is not None:
                    code = os.waitstatus_to_exitcode(status)
                    ended.append(
                        Ended(number, pid, code, None)
                        if code >= 0
                        else Ended(number, pid, None, -code)
                    )
        return ended

    def kill_orphans(self) -> int:
        """Kill every child that was not added; return how many there were, at least.

        A killed orphan leaves us its own children, so call again until there are none.
        """
        self._dying = [group for group in self._dying if not group.remove()]
        known = self._numbers.keys() | self._unreported
        orphans = [pid for pid in linux.children() if pid not in known]
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                group = os.getpgid(pid)
                # The group of a child that lives must not be taken along, and ours even less.
                alone = group == os.getpgrp() or group in known
                os.kill(pid if alone else -group, signal.SIGKILL)
        return len(orphans) + len(self._dying)


def spawn(argv: list[str], env: dict[str, str] | None, cwd: str | None, fds: list[int]) -> int:
    """Start a program in a session of its own and return its pid.

    It has `fds` as 3, 4, …, standard input, output and error as we have them, and nothing else of
    ours; its signals are as on the first day.
    """
    # Numbers above all targets, so that placing one cannot overwrite the next one's source.
    lowest = FIRST_FD + len(fds)
    sources = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest) for fd in fds]
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if cwd is not None:
            os.chdir(cwd)  # nobody else is in this process to notice
        return os.posix_spawnp(
            argv[0],
            argv,
            os.environ if env is None else env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, fd, FIRST_FD + place) for place, fd in enumerate(sources)
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=SIGNALS,
        )
    finally:
        os.fchdir(here)
        packets.close([here, *sources])
