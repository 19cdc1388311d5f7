"""Every secret that this machine's orchestrator knows of, to be looked for in what is given away.

A secret that cannot be read cannot be found in a report; whoever may not read them makes none.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from orchestrator.supervisor.config.loader import Loaded, load
from orchestrator.supervisor.last_good import LastGood
from orchestrator.supervisor.logic.redaction import SECRET_KEY
from orchestrator.supervisor.report.source import suspicions

_PASSWORD: Final = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
"""Of an address, as for a database."""
KEYS: Final = ("admin.key", "enrol.key")
OWN: Final = ("token", "fingerprint")


def known(
    loaded: Loaded | None,
    environ: Mapping[str, str],
    state_dir: Path,
    server_dir: Path | None,
) -> set[str]:
    """Return them all: of the file, of the one before, of our own folders, of the environment."""
    kept = LastGood.find(state_dir)
    before = None
    if kept is not None:
        before = load(
            kept.path,
            environ,
            state_dir=state_dir,
            kept=kept.raw,
            kept_included=kept.included,
        )
    found = set()
    for each in (loaded, before):
        found |= set() if each is None else _of(each, environ)
    found |= {value for name, value in environ.items() if SECRET_KEY.fullmatch(name)}
    found |= {password for value in environ.values() for password in _PASSWORD.findall(value)}
    files = [state_dir / "workers" / name for name in _workers(state_dir)]
    paths = [folder / name for folder in files for name in OWN]
    paths += [] if server_dir is None else [server_dir / name for name in KEYS]
    return found | set(_texts(paths))


def _of(loaded: Loaded, environ: Mapping[str, str]) -> set[str]:
    """Return what a file holds or refers to, also of workers that cannot be started."""
    if loaded.wanted is None:
        return set(suspicions(loaded, environ))
    # Of a worker that is left out nobody has made out what is secret of it.
    found = set(loaded.secrets) | set(suspicions(loaded, environ) if loaded.parked else ())
    for worker in loaded.wanted.workers:
        if worker.token is not None:
            found |= {worker.token, worker.token.rpartition(":")[2]}
        found |= {value for name, value in worker.env.items() if SECRET_KEY.fullmatch(name)}
    return found


def _workers(state_dir: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [path.name for path in (state_dir / "workers").iterdir()]
    return []


def _texts(paths: Iterable[Path]) -> Iterable[str]:
    for path in paths:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="utf-8").strip()
            yield text
            yield text.rpartition(":")[2]
