"""A copy of this checkout with an environment of its own, so that a mistake is made in it alone.

The environment is one of links: every package is the checkout's, but for the one file that says
where our own programs are. So whoever starts `python -m worker` from the copy, in whatever folder
and with whatever variables, gets the copy's; that is looked at before anything is believed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutants import cage
from tests.mutants.cage import Told
from tests.mutants.mutant import Mutant
from tests.support.source import ROOT

TEST_S: Final = 40.0
"""Of one test: twice as long as elsewhere, because what hangs must be the mistake's doing."""
_FOLDERS: Final = ("orchestrator", "worker", "tests")
_FILES: Final = ("pyproject.toml", "README.md", "LICENSE")
_WHERE: Final = (
    "import orchestrator.kernel.linux, worker.agent as a;"
    "print(orchestrator.kernel.linux.__file__);print(a.__file__)"
)


class Copy:
    """One copy. It runs one thing at a time."""

    def __init__(self, root: Path) -> None:
        """Make it in a folder that is not there yet; keep the path short, for sockets' sake."""
        self.root = root
        self._python = root / ".venv/bin/python"
        self._written = 0
        self._busy: subprocess.Popen[str] | None = None
        for name in _FOLDERS:
            # With what is compiled, which is half of the time of a short test; not what others
            # compile at this moment.
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        for name in _FILES:
            shutil.copy2(ROOT / name, root / name)
        self._make_environment()
        self._look()

    def _make_environment(self) -> None:
        packages = Path(sysconfig.get_path("purelib"))
        ours = self.root / ".venv" / packages.relative_to(sys.prefix)
        ours.mkdir(parents=True)
        for entry in packages.iterdir():
            if entry.name != "__pycache__" and not _is_ours(entry):
                (ours / entry.name).symlink_to(entry)
        (ours / "_copy.pth").write_text(f"{self.root}\n")
        shutil.copy2(Path(sys.prefix) / "pyvenv.cfg", self.root / ".venv")
        self._python.parent.mkdir()
        self._python.symlink_to(Path(sys.executable).resolve())

    def _look(self) -> None:
        """See that the programs which the copy starts are its own."""
        said = subprocess.run(
            [self._python, "-P", "-c", _WHERE], cwd="/", capture_output=True, text=True, check=True
        ).stdout
        astray = [line for line in said.splitlines() if not Path(line).is_relative_to(self.root)]
        if astray:
            raise RuntimeError(f"the copy in {self.root} runs what is not its own: {astray}")

    def test(self, ids: Sequence[str], *, seconds: float, all_of_them: bool = False) -> Told:
        """Run tests in the copy, up to the first that fails; return pytest's exit code."""
        temporary = self.root / "t"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        argv = [str(self._python), "-m", "pytest", "-q", "--no-header", "--tb=line"]
        argv += ["-p", "no:cacheprovider", "--database=sqlite", f"--basetemp={temporary}/p"]
        argv += ["-o", f"timeout={TEST_S:.0f}"]
        argv += [*([] if all_of_them else ["-x"]), *ids]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        env |= {"TMPDIR": str(temporary), "PYTHONHASHSEED": "0"}
        self._busy = cage.begin(argv, cwd=self.root, env=env, seconds=seconds)
        said, _ = self._busy.communicate()
        return Told(self._busy.returncode, said)

    def stop(self) -> None:
        """End what is tested now, if anything is."""
        if self._busy is not None:
            self._busy.terminate()

    @contextmanager
    def mistaken(self, mutant: Mutant) -> Iterator[None]:
        """Have a mistake in it for a while."""
        path = self.root / mutant.file
        right = path.read_text()
        self._write(path, mutant.applied(self.root))
        try:
            yield
        finally:
            self._write(path, right)

    def _write(self, path: Path, text: str) -> None:
        """Write a file whose moment is one of its own: what is compiled is known by its second."""
        path.write_text(text)
        self._written += 1
        moment = path.stat().st_mtime_ns + self._written * 2_000_000_000
        os.utime(path, ns=(moment, moment))

    def remove(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.root, ignore_errors=True)


def _is_ours(entry: Path) -> bool:
    """Tell whether an entry of the environment leads to this checkout."""
    return entry.suffix == ".pth" and entry.read_text().strip() == str(ROOT)
