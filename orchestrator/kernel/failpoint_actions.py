"""What happens at a failpoint that somebody asked for: `site=action[:n[:seconds]]`, by commas.

It is left out of every wheel (`pyproject.toml`), which makes it the mark of a development build: an
installed program has no code for this. Each action happens once, however often its program is
started again, because a file in the folder says that it did; else a kill would be a crash loop.
"""

import errno
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DELAY_S: Final = 5.0
"""Longer than a heartbeat, shorter than a lease."""
ACTIONS: Final = ("kill", "EIO", "ENOSPC", "delay", "stop")


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens at a place, when it is reached for which time in one process."""

    action: str
    number: int = 1
    seconds: float = DELAY_S


class Failpoints:
    """The plans of this process, and the folder in which all processes note what happened."""

    def __init__(self, spec: str, folder: str, sites: tuple[str, ...]) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise SystemExit(f"failpoints: {folder} is not a folder: make it first")
        self._plans = dict(_plans(spec, sites))
        self._numbers: dict[str, Iterator[int]] = {}

    def reached(self, site: str) -> None:
        """Note that a place is reached, and do what is planned there."""
        numbers = self._numbers.setdefault(site, itertools.count(1))
        number = next(numbers)
        if number == 1:
            (self._folder / site).touch()
        plan = self._plans.get(site)
        if plan is not None and number >= plan.number and self._is_first(site, plan):
            _act(site, plan)

    def _is_first(self, site: str, plan: Plan) -> bool:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            note = os.open(self._folder / f"{site}={plan.action}", flags, 0o600)
        except FileExistsError:
            return False
        os.write(note, str(os.getpid()).encode())
        os.close(note)
        return True


def _plans(spec: str, sites: tuple[str, ...]) -> Iterator[tuple[str, Plan]]:
    """Yield each planned place, or refuse in words what cannot be read."""
    for text in filter(None, spec.split(",")):
        site, _, told = text.partition("=")
        action, _, rest = told.partition(":")
        number, _, seconds = rest.partition(":")
        if site not in sites:
            raise SystemExit(f"failpoints: there is no site {site!r}; docs/reliability.md has them")
        if action not in ACTIONS:
            raise SystemExit(f"failpoints: {text!r}: the action is one of {', '.join(ACTIONS)}")
        try:
            yield site, Plan(action, int(number or 1), float(seconds or DELAY_S))
        except ValueError:
            raise SystemExit(f"failpoints: {text!r}: write site=action:times:seconds") from None


def _act(site: str, plan: Plan) -> None:
    match plan.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "delay":
            time.sleep(plan.seconds)
        case name:
            number: int = getattr(errno, name)
            raise OSError(number, os.strerror(number), f"failpoint {site}")
