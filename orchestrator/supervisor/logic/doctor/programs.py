"""What jobs find on their PATH, compared with what the person who asks finds on theirs."""

from collections.abc import Iterator
from typing import Final

from orchestrator.supervisor.logic.doctor.facts import Facts
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, unseen, warning

AGENTS: Final = ("claude", "codex", "gemini", "aider", "opencode")
GIT: Final = "git"
ASKED: Final = (GIT, *AGENTS)
"""Programs that are looked for."""


def path(facts: Facts) -> Iterator[Finding]:
    """Say which folders one PATH has and the other has not."""
    seen = facts.programs
    if seen.service is None:
        yield unseen("path", "no orchestrator runs, and no service is installed to compare with")
        return
    missing = [
        folder
        for folder in dict.fromkeys(seen.shell)
        if folder not in seen.service and folder in seen.present
    ]
    more = [folder for folder in dict.fromkeys(seen.service) if folder not in seen.shell]
    gone = [folder for folder in more if folder not in seen.present]
    if missing:
        yield warning(
            "path",
            f"jobs do not search {':'.join(missing)}, as this shell does ({seen.whose})",
            "orchestrator service install  – from this shell: it keeps its PATH; or PATH in a "
            "worker's env",
        )
    else:
        yield ok("path", f"jobs search every folder that this shell does ({seen.whose})")
    there = [folder for folder in more if folder not in gone]
    if there:
        yield ok("path", f"jobs search {':'.join(there)} as well, which this shell does not")
    if gone:
        yield ok("path", f"jobs would search {':'.join(gone)}, which is not there")


def own_paths(facts: Facts) -> Iterator[Finding]:
    """Say which workers have a PATH of their own."""
    wanted = facts.wanted
    for worker in () if wanted is None else wanted.workers:
        if (own := worker.env.get("PATH")) is not None:
            yield ok("path", f"jobs of {worker.name} search {own}, as its env says")


def programs(facts: Facts) -> Iterator[Finding]:
    """Say which programs jobs find, where, and in which version; not who is logged in."""
    absent = []
    for name in ASKED:
        in_shell, in_service = facts.programs.found.get(name, (None, None))
        version = facts.programs.versions.get(name)
        unasked = facts.programs.unasked.get(name)
        silent = f"version was not asked: {unasked}" if unasked else "version it does not tell"
        known = f", {version}" if version else f", whose {silent}"
        if in_service is not None:
            other = in_shell not in {None, in_service}
            differs = f"; this shell finds {in_shell}" if other else ""
            login = "; whether it is logged in was not looked at" if name in AGENTS else ""
            yield ok("program", f"{name}: {in_service}{known}{differs}{login}")
        elif in_shell is not None:
            yield warning(
                "program",
                f"{name}: this shell finds {in_shell}, and jobs do not",
                "orchestrator service install  – from this shell: it keeps its PATH; or PATH in "
                "a worker's env",
            )
        elif workers := _tagged(facts, name):
            yield warning(
                "program",
                f"{name} is a tag of {', '.join(workers)}, and is not found",
                f"install {name}, or take the tag away",
            )
        elif name == GIT:
            yield warning("program", "git is not found", "install git, if any job needs it")
        else:
            absent.append(name)
    if absent:
        yield ok("program", f"not here: {', '.join(absent)}")


def _tagged(facts: Facts, name: str) -> list[str]:
    wanted = facts.wanted
    return [] if wanted is None else [w.name for w in wanted.workers if name in w.tags]
