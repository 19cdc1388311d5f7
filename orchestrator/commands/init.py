"""`orchestrator init`: a first workers.yaml, asked for, converted, or as a template.

What is asked for is verified before it is written, so that the file works when it is there.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.commands.interview import Answers

UNCONFIGURED: Final = 78


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--import",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Convert an older system's workers.json or .env.",
)
@click.pass_obj
def init(surroundings: Surroundings, path: Path | None, source: Path | None) -> int:
    """Write a first workers.yaml; one that is there is never replaced.

    On a terminal it asks for the server, a credential and a directory, and tries them. Elsewhere it
    writes a template.
    """
    from orchestrator.supervisor.config.location import NAME, locate

    target = locate(path, surroundings.environ)
    if path is None and source is not None:
        target = target.with_name(NAME)
    _refuse_to_replace(target)
    if source is not None:
        return _import(source, target, surroundings)
    if not set_up(target):
        return _template(target)
    output.advise("start it with: orchestrator run")
    return 0


def first_run(path: Path) -> bool:
    """Set up what a first `run` needs, or write the template; tell whether it can go on."""
    output.say(f"there is no configuration yet ({path})")
    return set_up(path) or bool(_template(path))


def set_up(path: Path) -> bool:
    """Ask a person for a first worker and write the file; tell whether there is a person."""
    if not (sys.stdin is not None and sys.stdin.isatty() and output.people_read_words()):
        return False
    from orchestrator.commands.interview import interview

    answers = interview()
    _write(path, answers)
    output.say(f"wrote {path}: worker {answers.name!r} is ready to run")
    return True


def _write(path: Path, answers: "Answers") -> None:
    from orchestrator.supervisor.config.first.importing import Entry, as_yaml
    from orchestrator.supervisor.config.first.writing import create, write_token

    entry = Entry(
        name=answers.name,
        token=answers.token,
        working_directory=str(answers.directory),
        server_url=answers.server_url,
        more={"allow_insecure": True} if answers.insecure else {},
    )
    # The token first: a file that names a token which is not there would be no working one.
    _make_folder(path.parent)
    write_token(path.parent, answers.name, answers.token)
    create(path, as_yaml([entry], {entry.name: f"${{file:tokens/{entry.name}}}"}))


def _template(path: Path) -> int:
    from orchestrator.supervisor.config.first.writing import write_template

    steps = write_template(path)
    output.say(f"wrote a template to {path}; next:")
    output.advise(*(f"{number}. {step}" for number, step in enumerate(steps, 1)))
    return 0


def _import(source: Path, target: Path, surroundings: Surroundings) -> int:
    from orchestrator.supervisor.config.first.importing import as_yaml, is_token, read
    from orchestrator.supervisor.config.first.writing import create, write_token
    from orchestrator.supervisor.config.loader import load

    entries = read(source)
    _make_folder(target.parent)
    tokens = {}
    for entry in entries:
        tokens[entry.name] = entry.token
        if is_token(entry.token):
            write_token(target.parent, entry.name, entry.token)
            tokens[entry.name] = f"${{file:tokens/{entry.name}}}"
    create(target, as_yaml(entries, tokens))
    output.say(f"wrote {target} from {source}; {source.name} is as it was")
    loaded = load(target, surroundings.environ)
    for problem in loaded.problems:
        for line in problem.render():
            output.data(line)
    if loaded.ok:
        output.advise("start it with: orchestrator run")
        return 0
    output.advise("mend this, look again with `orchestrator check`, then start `orchestrator run`")
    return UNCONFIGURED


def _make_folder(folder: Path) -> None:
    from orchestrator.kernel.files import private_dir

    if not folder.is_dir():
        private_dir(folder)


def _refuse_to_replace(path: Path) -> None:
    from orchestrator.kernel.errors import AlreadyExists

    if path.exists() or path.is_symlink():
        hint = "edit it, or name another path; orchestrator check tells what is wrong in it"
        raise AlreadyExists(f"{path} is already there", hint=hint)
