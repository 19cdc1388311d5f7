"""One machine's server and worker: how each is launched, and what has to be there before.

It keeps nothing alive (that is `children.py`) and orders nothing (`daemon.py`). It knows which
programs they are, which descriptors they get, and where on this machine their files are.
"""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio

from orchestrator.client.connection import forget_ended
from orchestrator.kernel import lifeline, linux, packets, paths
from orchestrator.kernel.errors import LauncherGone, LaunchFailed
from orchestrator.kernel.files import Lock, private_dir, write_private
from orchestrator.kernel.launching import Launcher
from orchestrator.kernel.lifeline import ParentEnd
from orchestrator.supervisor.children import Running
from orchestrator.supervisor.settings import WORKER_NAME, LocalSettings

TOKENS_REFUSED: Final = 77
LIFELINE_FD: Final = 3
LISTEN_FD: Final = 4
_PRELOAD_S: Final = 60.0
"""Importing takes a second; a disk that needs a minute for it is no place to run anything."""


@contextlib.contextmanager
def _new_lifeline() -> Iterator[tuple[ParentEnd, socket.socket]]:
    """Give a line for a child; our end stays open unless the launch fails."""
    line, theirs = lifeline.pair()
    try:
        with theirs:
            yield line, theirs
    except BaseException:
        line.close()
        raise


class Local:
    """Launches the two children of a local run."""

    def __init__(
        self, settings: LocalSettings, launcher: Launcher, listening: socket.socket
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._listening = listening
        self._url = ""
        self._nursery: Launcher | None = None
        self._one_at_a_time = anyio.Lock()

    @property
    def token_file(self) -> Path:
        """Return where the worker's token is kept."""
        return self._settings.worker_dir / "token"

    def server_is_at(self, url: str) -> None:
        """Note the address at which the server became ready."""
        self._url = url

    async def launch_server(self, _last_code: int | None) -> Running:
        """Start the server as a program of its own."""
        settings = self._settings
        with _new_lifeline() as (line, theirs):
            argv = [
                sys.executable,
                *settings.programs.server,
                f"--data-dir={settings.server_dir}",
                f"--lifeline-fd={LIFELINE_FD}",
                f"--listen-fd={LISTEN_FD}",
                *(["--insecure-http"] if settings.insecure_http else []),
            ]
            process = await self._launcher.spawn(
                argv,
                cwd=str(settings.data_dir),
                fds=[theirs.fileno(), self._listening.fileno()],
            )
            return Running(process, line)

    async def launch_worker(self, last_code: int | None) -> Running:
        """Fork the worker, and lend it a channel on which it gets its shims."""
        await self._have_token(renew=last_code == TOKENS_REFUSED)
        nursery = await self._have_nursery()
        ours, channel = packets.pair()
        with _new_lifeline() as (line, theirs), ours, channel:
            await self._launcher.lend(ours.fileno(), self._settings.programs.shim)
            process = await nursery.fork(
                self._settings.programs.worker,
                self._worker_settings(),
                fds=[theirs.fileno(), channel.fileno()],
                name="orch-worker",
            )
            return Running(process, line)

    async def prepare(self) -> None:
        """Start the nursery while the server starts; if that fails, the worker's launch tells."""
        try:
            await self._have_nursery()
        except (LaunchFailed, LauncherGone):
            return

    def _worker_settings(self) -> dict[str, object]:
        settings = self._settings
        return {
            "name": WORKER_NAME,
            "server_url": self._url,
            "token_file": str(self.token_file),
            "working_directory": str(settings.directory),
            "state_dir": str(private_dir(settings.worker_dir / "state")),
            "slots": settings.slots,
            "tags": list(settings.tags),
        }

    async def _have_nursery(self) -> Launcher:
        """Return the nursery, starting one if there is none, or if the last one died.

        It is a means to start workers and nothing else, so it has no restarts of its own: when it
        dies its workers die, and the next worker's launch makes a new one.
        """
        async with self._one_at_a_time:
            if self._nursery is None or self._nursery.is_gone:
                try:
                    with anyio.fail_after(_PRELOAD_S):
                        self._nursery = await self._launcher.nursery(
                            self._settings.programs.worker_modules
                        )
                except TimeoutError:
                    raise LaunchFailed(
                        f"the worker's code was not loaded within {_PRELOAD_S:g} s"
                    ) from None
            return self._nursery

    async def _have_token(self, *, renew: bool) -> None:
        """Have a token for the worker on disk; a refused one is replaced, as we may enrol."""
        if self.token_file.exists() and not renew:
            return
        # Imported at the first start only: together with httpx it takes longer than all the rest.
        from orchestrator.supervisor.enrolment import enrol  # noqa: PLC0415

        folder = private_dir(self._settings.worker_dir)
        key_file = self._settings.server_dir / "enrol.key"
        token = await enrol(url=self._url, key_file=key_file, name=WORKER_NAME, folder=folder)
        write_private(self.token_file, f"{token}\n")

    def connect_command_line(self) -> None:
        """Tell the command line of this user where the server is, and with which key."""
        path = paths.connection_file(self._settings.data_dir)
        private_dir(paths.state_dir())
        private_dir(path.parent)
        connection = {
            "url": self._url,
            "api_key_file": str(self._settings.server_dir / "admin.key"),
            "data_dir": str(self._settings.data_dir),
            "pid": os.getpid(),
            "started": linux.start_time(os.getpid()),
            "boot": linux.boot_id(),
        }
        # One at a time: a file that was looked at is removed before its next run writes it anew.
        with Lock(paths.state_dir() / "connections.lock").take("another run", wait=True):
            forget_ended(paths.connection_files())
            write_private(path, json.dumps(connection, indent=2) + "\n")

    def disconnect_command_line(self) -> None:
        """Take that back: there is no server any more."""
        with contextlib.suppress(OSError):
            paths.connection_file(self._settings.data_dir).unlink()
