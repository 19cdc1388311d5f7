"""Another version of the product: a copy of its source that says more everywhere, as a newer one.

What a version may add without asking anybody is a field in what it writes down, tells and answers.
The copy adds one to each of these, so whoever is of this version meets what it has never heard of.
"""

import os
import shutil
import sys
from pathlib import Path

from tests.support.source import ROOT

NEWER = "99.0"
_ADDED = (
    ("orchestrator/__init__.py", '__version__ = "', f'__version__ = "{NEWER}"  # "'),
    (
        "worker/shim/journal.py",
        '{"format": layout.FORMAT, **self._identity}',
        '{"format": layout.FORMAT, "newer": [1], **self._identity}',
    ),
    ("worker/shim/journal.py", '"attempt": attempt,\n', '"attempt": attempt, "newer": {"a": 1},\n'),
    (
        "worker/shim/journal.py",
        "{**record, **self._heard}",
        '{"newer": 1, **record, **self._heard}',
    ),
    ("worker/standing.py", '"state": state,', '"newer": {"a": 1}, "state": state,'),
    (
        "worker/spool/identity.py",
        "json.dumps(asdict(found))",
        'json.dumps({**asdict(found), "newer": 1})',
    ),
    ("worker/spool/ledger.py", '        "removed": [', '        "newer": 1, "removed": ['),
    (
        "orchestrator/protocol/wire.py",
        "    lease_s: float\n",
        "    lease_s: float\n    newer: int = 1\n",
    ),
    ("orchestrator/protocol/wire.py", "    grants: list[", "    newer: int = 1\n    grants: list["),
    ("orchestrator/protocol/wire.py", "    acks: list[", "    newer: int = 1\n    acks: list["),
    (
        "orchestrator/protocol/machine.py",
        "    phase: str\n",
        "    phase: str\n    newer: int = 1\n",
    ),
    (
        "orchestrator/supervisor/last_good.py",
        '"generation": self.generation,',
        '"generation": self.generation, "newer": 1,',
    ),
)
_PROGRAM = """\
#!{python}
import os, sys
sys.path.insert(0, {lib!r})
os.environ["PYTHONPATH"] = {lib!r}
from {package} import cli
sys.exit(cli.main())
"""


def this_version(folder: Path) -> Path:
    """Return a folder with the programs of this very checkout, as a venv has them."""
    return _with_programs(folder, ROOT)


def newer_version(folder: Path) -> Path:
    """Return a folder with the programs of a version that adds something everywhere."""
    lib = folder / "lib"
    for package in ("orchestrator", "worker"):
        shutil.copytree(ROOT / package, lib / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in _ADDED:
        path = lib / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r} any more"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return _with_programs(folder, lib)


def _with_programs(folder: Path, lib: Path) -> Path:
    for package in ("orchestrator", "worker"):
        program = folder / "bin" / package
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            _PROGRAM.format(python=sys.executable, lib=os.fspath(lib), package=package)
        )
        program.chmod(0o755)
    return folder
