"""`orchestrator check`: everything that is wrong with a configuration, at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.client.inquiry import Answer
    from orchestrator.supervisor.config.loader import Loaded
    from orchestrator.supervisor.config.problem import Problem

INVALID: Final = 78
UNREACHABLE: Final = 69


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--online", is_flag=True, help="Ask each server whether it knows the token, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of words.")
@click.pass_obj
def check(surroundings: Surroundings, file: Path | None, *, online: bool, as_json: bool) -> int:
    """Tell everything that is wrong with workers.yaml, each with its line."""
    from orchestrator.supervisor.config.loader import load
    from orchestrator.supervisor.config.location import locate

    loaded = load(locate(file, surroundings.environ), surroundings.environ)
    asked = _asked(loaded) if online else {}
    problems = [*loaded.problems, *_refusals(loaded, asked)]
    silent = {n: answer for n, answer in asked.items() if answer.verdict == "unreachable"}
    if as_json:
        output.document(_document(loaded, problems, asked))
    else:
        for problem in problems:
            for line in problem.render():
                output.data(line)
        output.data(_summary(loaded, problems))
    for name, answer in silent.items():
        output.trouble(f"worker {name!r}: {answer.why}", answer.hint)
    if any(problem.level == "error" for problem in problems):
        return INVALID
    return UNREACHABLE if silent else 0


def _asked(loaded: "Loaded") -> "dict[str, Answer]":
    """Return what each server says of the worker that it should know, by the worker's name."""
    from orchestrator.client.inquiry import ask_all

    if loaded.wanted is None:
        return {}
    # The embedded server runs only while the orchestrator does, and makes its tokens itself.
    remote = [
        (worker.name, worker.identity.server_url, worker.token)
        for worker in loaded.wanted.workers
        if worker.identity.server_url and worker.token and worker.enabled
    ]
    answers = ask_all((url, token) for _, url, token in remote)
    return {name: answer for (name, _, _), answer in zip(remote, answers, strict=True)}


def _refusals(loaded: "Loaded", asked: "dict[str, Answer]") -> "list[Problem]":
    from orchestrator.supervisor.config.problem import Problem

    workers = loaded.wanted.workers if loaded.wanted is not None else ()
    return [
        Problem(
            place=worker.place,
            code="token-refused",
            message=f"worker {worker.name!r}: {answer.why}",
            hint=answer.hint,
        )
        for worker in workers
        if (answer := asked.get(worker.name)) and answer.verdict == "refused" and worker.place
    ]


def _summary(loaded: "Loaded", problems: "list[Problem]") -> str:
    wrong = sum(problem.level == "error" for problem in problems)
    odd = len(problems) - wrong
    parts = [_number(wrong, "error")] * bool(wrong) + [_number(odd, "warning")] * bool(odd)
    if loaded.wanted is None:
        return f"{loaded.path}: {', '.join(parts)}; nothing of it would be run"
    would = _number(len(loaded.wanted.workers), "worker")
    if loaded.parked:
        would += f" would run, {len(loaded.parked)} would wait until this is mended"
    return f"{loaded.path}: {', '.join(parts) or 'nothing is wrong'}; {would}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _document(
    loaded: "Loaded", problems: "list[Problem]", asked: "dict[str, Answer]"
) -> dict[str, object]:
    running = loaded.wanted.workers if loaded.wanted is not None else ()
    workers: list[dict[str, object]] = [
        {
            "name": worker.name,
            "place": str(worker.place),
            "state": "ok",
            "server_url": worker.identity.server_url or None,
            "online": str(asked[worker.name].verdict) if worker.name in asked else None,
        }
        for worker in running
    ]
    workers += [
        {"name": parked.name, "place": str(parked.place), "state": "parked"}
        for parked in loaded.parked
    ]
    return {
        "file": str(loaded.path),
        "ok": not any(problem.level == "error" for problem in problems),
        "drain_timeout_s": _drain_timeout_s(loaded),
        "problems": [problem.as_json() for problem in problems],
        "workers": workers,
    }


def _drain_timeout_s(loaded: "Loaded") -> float | None:
    """Return how long a stop may wait for jobs; `None`: nothing of this would be run."""
    if loaded.wanted is None:
        return None
    return max(
        (worker.drain_timeout_s for worker in loaded.wanted.workers),
        default=loaded.wanted.drain_timeout_s,
    )
