"""The configuration, what is kept beside it, and the directories in which jobs run."""

from collections.abc import Iterator
from shlex import quote

from orchestrator.supervisor.logic.doctor.facts import Entry, Facts
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen, warning


def configuration(facts: Facts) -> Iterator[Finding]:
    """Say what `orchestrator check` says."""
    name, told = "configuration", facts.configuration
    if told is None:
        yield unseen(name, facts.no_configuration)
        return
    for said in told.said:
        make = problem if said.is_error else warning
        yield make(name, said.text, said.hint or f"edit {quote(told.path)}")
    if not told.said:
        yield ok(name, f"{told.path}: nothing is wrong; {_number(told.workers, 'worker')}")


def applied(facts: Facts) -> Iterator[Finding]:
    """Say whether the file is what runs."""
    name, status, told = "applied", facts.status, facts.configuration
    if status is None or told is None:
        return
    if status.config.banner is not None:
        message = status.config.banner.message
        remedy = f"orchestrator check {quote(status.config.path or told.path)}"
        yield problem(name, f"the file is not what runs: {message}", remedy)
    elif status.config.path is not None and status.config.path != told.path:
        yield warning(
            name,
            f"the orchestrator runs {status.config.path}, and {told.path} was looked at",
            f"orchestrator doctor {quote(status.config.path)}",
        )
    else:
        yield ok(name, f"what the file says is what runs (#{status.config.generation})")


def modes(facts: Facts) -> Iterator[Finding]:
    """Say what of ours is open to others, or somebody else's."""
    name = "modes"
    if not facts.entries:
        yield unseen(name, "nothing of ours is there yet")
        return
    owner = _owner(facts)
    if owner != facts.euid and facts.process is None:
        yield _of_another(facts, owner)
    found = [each for entry in facts.entries if (each := _open(entry, owner)) is not None]
    yield from found
    if not found and facts.euid in {owner, 0}:
        count = _number(len(facts.entries), "file")
        yield ok(name, f"{count} and folders of ours are closed to others")
    elif not found:
        yield unseen(name, f"what user {owner} has in there, only that user sees")


def _owner(facts: Facts) -> int:
    """Return whose all of it has to be: whoever asks may be root, who only looks after others."""
    return facts.entries[0].uid if facts.process is None else facts.process.uid


def _of_another(facts: Facts, owner: int) -> Finding:
    outermost = facts.entries[0]
    return warning(
        "modes",
        f"{outermost.what} {outermost.path} belongs to user {owner}, and user {facts.euid} asks: "
        "all of it was taken for that user's",
        f"sudo -u '#{owner}' orchestrator doctor --state-dir {quote(facts.state_dir)}",
    )


def _open(entry: Entry, owner: int) -> Finding | None:
    if entry.uid != owner:
        return problem(
            "modes",
            f"{entry.what} {entry.path} belongs to user {entry.uid}, not to {owner}",
            f"chown {owner} {quote(entry.path)}",
        )
    if entry.mode & 0o077:
        mode = "700" if entry.is_dir else "600"
        return problem(
            "modes",
            f"{entry.what} {entry.path} is open to other users (mode {entry.mode:04o})",
            f"chmod {mode} {quote(entry.path)}",
        )
    return None


def directories(facts: Facts) -> Iterator[Finding]:
    """Say in which directories jobs cannot write; what is missing, the configuration says."""
    closed = [each for each in facts.directories if not each.is_writable]
    for each in closed:
        yield warning(
            "directories",
            f"jobs of {each.worker} cannot write in {each.path}",
            f"chmod u+rwx {quote(each.path)}",
        )
    if facts.directories and not closed:
        paths = {each.path for each in facts.directories}
        kinds = "directory" if len(paths) == 1 else "directories"
        yield ok("directories", f"{len(paths)} {kinds} of workers can be written")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
