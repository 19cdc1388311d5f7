"""Write a first configuration: a template with everything in comments, or one that works.

It never replaces a file. What it writes is its owner's alone, and appears whole or not at all.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import AlreadyExists, StateUnavailable
from orchestrator.kernel.files import private_dir, sync_dir, write_private
from orchestrator.supervisor.config.first.schema import schema
from orchestrator.supervisor.config.location import SCHEMA_NAME

HEAD: Final = f"# yaml-language-server: $schema=./{SCHEMA_NAME}\n"
TEMPLATE: Final = (
    HEAD
    + """\
# What runs on this machine. `orchestrator check` tells what is wrong in here, and a running
# orchestrator takes over what is saved within two seconds.

version: 1

# A server of this machine's own; leave it out when yours runs elsewhere.
#server:
#  embedded: true
#  listen: 127.0.0.1:8700

#machine:
#  max_jobs: auto             # of all workers together; auto is one for each processor
#  drain_timeout: 10m         # how long jobs may finish after Ctrl-C
#  keep_jobs_on_stop: false   # true: they run on, and the next start takes them up

# What holds for every worker that does not say otherwise.
#defaults:
#  server_url: https://control.example.com

workers:
#  - name: web
#    token: ${file:tokens/web}           # or ${env:NAME}, ${cmd:PROGRAM …}, ${cred:NAME}
#    working_directory: ~/Projects/web
#    concurrency: 1
#    tags: [node, build]
#    env: {NODE_ENV: production}
#    limits: {timeout: 1h, memory: 2GiB}
"""
)


def write_template(path: Path) -> tuple[str, ...]:
    """Write the template, and return what to do next: three steps."""
    create(path, TEMPLATE)
    tokens = path.parent / "tokens"
    return (
        f"put each worker's token into {tokens}/NAME (chmod 600); enrolling a worker gives it one",
        f"edit {path}: take the '#' from what you need, name directories and the server",
        "orchestrator check  # tells what is still wrong; then start `orchestrator run` again",
    )


def create(path: Path, text: str) -> None:
    """Write a new file, and the schema beside it for editors."""
    _make_folder(path.parent)
    _create_private(path, text)
    beside = path.parent / SCHEMA_NAME
    if path.suffix != ".json" and not beside.exists():
        with contextlib.suppress(AlreadyExists):
            _create_private(beside, json.dumps(schema(), indent=2) + "\n")


def write_token(folder: Path, name: str, token: str) -> Path:
    """Write a worker's token below `folder`, and return where it is."""
    tokens = private_dir(folder / "tokens")
    write_private(tokens / name, f"{token}\n")
    return tokens / name


def _make_folder(folder: Path) -> None:
    """Make the folder, private; one that is there stays as it is."""
    if not folder.is_dir():
        private_dir(folder)


def _create_private(path: Path, text: str) -> None:
    """Write a file that was not there: of two who try, one does."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    refusal = AlreadyExists(
        f"{path} is already there",
        hint="edit it, or name another path; it is never replaced",
    )
    if path.exists() or path.is_symlink():
        raise refusal
    write_private(draft, text)
    try:
        os.link(draft, path)
        sync_dir(path.parent)
    except FileExistsError:
        raise refusal from None
    except OSError as error:
        raise StateUnavailable(f"cannot write {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
