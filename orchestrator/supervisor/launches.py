"""How the server and the workers of a machine are launched, and what has to be there before.

It keeps nothing alive (that is `children.py`) and orders nothing (`fleet.py`). It knows which
programs they are, which descriptors they get, and where on this machine their files are.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel import lifeline, packets
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import LauncherGone, LaunchFailed, StateUnavailable
from orchestrator.kernel.files import private_dir, write_private
from orchestrator.kernel.launching import Launcher
from orchestrator.kernel.lifeline import ParentEnd
from orchestrator.supervisor.children import Running
from orchestrator.supervisor.logic import orders
from orchestrator.supervisor.logic.wanted import MachineWanted, ServerWanted, WorkerWanted
from orchestrator.supervisor.settings import DaemonSettings

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


def _have_folder(folder: Path) -> Path:
    """Have a worker's folder, and the one of all workers.

    That one, too, each time: where a start died between making and syncing it, nobody else would
    sync it, and the power would take all spools with it.
    """
    private_dir(folder.parent)
    return private_dir(folder)


class Launches:
    """Launches the children of one machine."""

    def __init__(self, settings: DaemonSettings, launcher: Launcher, changed: Bell) -> None:
        self._settings = settings
        self._launcher = launcher
        self._changed = changed
        self._url = ""
        self._server_dir = Path()
        self._server_is_up = False
        self._nursery: Launcher | None = None
        self._one_at_a_time = anyio.Lock()
        self._enrolling = anyio.Lock()
        self._made: set[Path] = set()
        """Folders that are known to be ours alone."""

    def server_will_be_at(self, url: str) -> None:
        """Note the address of the embedded server, on which we listen ourselves.

        Who calls it before the server is there waits in the socket's queue, as at its restarts: so
        workers begin beside it.
        """
        self._url = url
        self._changed.ring()

    def server_is_at(self, url: str) -> None:
        """Note that the embedded server became ready, and its address."""
        self._url, self._server_is_up = url, True
        self._changed.ring()

    def server_is_away(self) -> None:
        """Note that it ends: who is launched waits for the next one, perhaps elsewhere."""
        self._url, self._server_is_up = "", False

    def folder(self, worker: WorkerWanted) -> Path:
        """Return where a worker's memory is: it goes by its id, as its name may change."""
        return self._settings.state_dir / "workers" / (worker.identity.worker_id or worker.name)

    async def launch_server(self, wanted: ServerWanted, listening: socket.socket) -> Running:
        """Start the server as a program of its own."""
        self._server_dir = wanted.data_dir
        with _new_lifeline() as (line, theirs):
            argv = [
                sys.executable,
                *self._settings.programs.server,
                f"--data-dir={wanted.data_dir}",
                f"--lifeline-fd={LIFELINE_FD}",
                f"--listen-fd={LISTEN_FD}",
                *(["--insecure-http"] if wanted.insecure_http else []),
            ]
            process = await self._launcher.spawn(
                argv,
                cwd=str(self._settings.state_dir),
                fds=[theirs.fileno(), listening.fileno()],
            )
            return Running(process, line)

    async def launch_worker(
        self,
        worker: WorkerWanted,
        machine: MachineWanted,
        *,
        paused: str | None,
        last_code: int | None,
    ) -> Running:
        """Fork a worker, and lend it a channel on which it gets its shims."""
        url = worker.identity.server_url or await self._url_of_ours()
        folder = await self._have_folders(worker)
        if worker.token is None:
            await self._have_token(worker.name, folder, renew=last_code == TOKENS_REFUSED)
        place = orders.Place(
            server_url=url,
            state_dir=str(folder),
            token_file=str(folder / "token") if worker.token is None else None,
        )
        settings = orders.at_start(worker, machine, place, paused=paused)
        nursery = await self._have_nursery()
        ours, channel = packets.pair()
        with _new_lifeline() as (line, theirs), ours, channel:
            await self._launcher.lend(ours.fileno(), self._settings.programs.shim)
            process = await nursery.fork(
                self._settings.programs.worker,
                settings,
                fds=[theirs.fileno(), channel.fileno()],
                name="orch-worker",
            )
            first = () if worker.token is None else (orders.identify(worker.token),)
            return Running(process, line, first)

    async def prepare(self) -> None:
        """Start the nursery beside all else; if that fails, the next worker's launch tells."""
        with contextlib.suppress(LaunchFailed, LauncherGone):
            await self._have_nursery()

    async def _url_of_ours(self) -> str:
        """Return the address of the embedded server, waiting until there is one."""
        await self._changed.until(lambda: bool(self._url))
        return self._url

    async def _have_folders(self, worker: WorkerWanted) -> Path:
        """Have the worker's own folder, and the one that it works in if we are to make it."""
        folder = self.folder(worker)
        # Making sure waits for the disk, and a worker that died is to be back in milliseconds. The
        # disk syncs for many in the time of one, so nobody else has to wait for it either.
        if folder not in self._made or not folder.is_dir():
            folder = await to_thread.run_sync(_have_folder, folder)
            self._made.add(folder)
        if worker.create_working_directory:
            try:
                worker.working_directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StateUnavailable(
                    f"cannot create {worker.working_directory}: {error.strerror}",
                    hint="create it yourself, or name another working_directory",
                ) from error
        return folder

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

    async def _have_token(self, name: str, folder: Path, *, renew: bool) -> None:
        """Have a token for the worker on disk; a refused one is replaced, as we may enrol."""
        token_file = folder / "token"
        if token_file.exists() and not renew:
            return
        # Imported at the first start only: together with httpx it takes longer than all the rest.
        from orchestrator.client.enrolment import enrol  # noqa: PLC0415

        async with self._enrolling:
            await self._changed.until(lambda: self._server_is_up)
            key_file = self._server_dir / "enrol.key"
            token = await enrol(url=self._url, key_file=key_file, name=name, folder=folder)
        write_private(token_file, f"{token}\n")
