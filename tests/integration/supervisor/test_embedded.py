"""The embedded server becomes what the file says, also when little of that goes as it should."""

import math
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from orchestrator.client.control import Control
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.files import Lock
from orchestrator.protocol.machine import MachineStatus
from orchestrator.supervisor import embedded
from orchestrator.supervisor.launches import Launches
from orchestrator.supervisor.logic.wanted import ServerWanted
from tests.integration.supervisor.fleets import Machine
from tests.support.installation import free_port
from tests.support.waiting import wait_until

WEB = {"name": "web", "working_directory": "."}


class Counted(Bell):
    """A bell that knows how often somebody began to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    async def until(self, condition: Callable[[], bool], *, deadline: float = math.inf) -> None:
        self.waits += 1
        await super().until(condition, deadline=deadline)


def _server(machine: Machine, port: int, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    folder = machine.state / "server"
    return {"server": {"listen": f"{host}:{port}", "data_dir": str(folder), **more}}


def _held(host: str, port: int) -> socket.socket:
    """Take an address as soon as nobody else has it."""

    def attempt() -> list[socket.socket]:
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ours.bind((host, port))
            ours.listen()
        except OSError:
            ours.close()
            return []
        return [ours]

    return wait_until(attempt, timeout_s=15, what=f"{host}:{port} is free")[0]


def test_who_waits_for_a_server_gets_the_one_that_follows(tmp_path: Path) -> None:
    """The first one never came up before it was to be another one."""
    machine, port = Machine(tmp_path), free_port()
    (machine.folder(0).parents[1] / "server").mkdir(mode=0o700)
    code = machine.state / "server/exit-code"
    code.write_text("1")
    machine.save(WEB, **_server(machine, port))
    with machine.run():
        machine.wait_for_event("child.ended", child="server")

        machine.save(WEB, **_server(machine, port, insecure_http=True))
        machine.wait_for_event("config.applied", generation=2)
        code.unlink()

        machine.wait_for("server ready")
        machine.wait_for("web ready")
        assert machine.told("web")["server_url"] == f"http://127.0.0.1:{port}"


def test_a_server_that_lost_its_address_comes_back_by_itself(tmp_path: Path) -> None:
    """The new address is taken, and then the old one is, too: that is told, and tried again."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(WEB, **_server(machine, port))
    with machine.run():
        machine.wait_for("web ready")
        with _held("127.0.0.2", port):
            machine.save(WEB, **_server(machine, port, "0.0.0.0", insecure_http=True))
            with _held("127.0.0.1", port):
                told = machine.wait_for_event("server.not_changed")
                assert f"0.0.0.0:{port}: the address is in use; nor can it go back" in told["why"]
                assert told["next"].startswith("there is none now")
                status = Control(machine.state / "control.sock").get("/v1/status")
                server = status.read(MachineStatus).server
                assert server is not None
                assert (server.state, server.problem, server.pid) == ("down", told["why"], None)

        machine.wait_for(f"server ready on 0.0.0.0:{port}")
        assert len(machine.events("server.not_changed")) == 1, "once is enough"
        server = (
            Control(machine.state / "control.sock").get("/v1/status").read(MachineStatus).server
        )
        assert server is not None
        assert server.problem is None


async def test_nobody_looks_for_a_server_that_is_not_wanted_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was none, and it was to be tried again: that moment passes, and nothing happens."""
    monkeypatch.setattr(embedded, "AGAIN", Backoff(initial_s=0.05))
    changed = Counted()
    server = embedded.Embedded(cast("Launches", None), changed, list)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with anyio.create_task_group() as tasks:
            server.start(tasks, None)
            server.want(ServerWanted(host="127.0.0.1", port=port, data_dir=tmp_path))
            await changed.until(lambda: server.problem is not None)
            tried_at = anyio.current_time() + 0.05
            server.want(None)
            waits = changed.waits

            while anyio.current_time() < tried_at + 0.05:
                await anyio.lowlevel.checkpoint()

            assert changed.waits - waits < 5
            tasks.cancel_scope.cancel()


def test_what_is_wanted_meanwhile_is_tried_as_well(tmp_path: Path) -> None:
    """What cannot be had was given up before that was known: the error is of yesterday."""
    machine, port, other = Machine(tmp_path), free_port(), free_port()
    elsewhere = {"data_dir": str(machine.state / "other"), "insecure_http": True}
    machine.save(WEB, **_server(machine, port))
    with machine.run():
        machine.wait_for("web ready")
        (machine.state / "workers/web/busy").touch()
        with _held("127.0.0.2", port):
            machine.save(WEB, **_server(machine, port, "0.0.0.0", **elsewhere))
            machine.wait_for_event("child.draining")
            machine.save(WEB, **_server(machine, other))
            machine.wait_for_event("config.applied", generation=3)

            os.kill(machine.pids()["web"][0], signal.SIGKILL)

            machine.wait_for(f"server ready on 127.0.0.1:{other}")
            assert machine.events("server.not_changed") == []


def test_a_server_that_cannot_be_announced_runs(tmp_path: Path) -> None:
    """There is no room to tell the command line where it is: that comes when there is."""
    machine, port, other = Machine(tmp_path), free_port(), free_port()
    machine.save(WEB, **_server(machine, port))
    with machine.run() as daemon:
        machine.wait_for("web ready")
        told = machine.state / "connection.json"
        (kept,) = [told] if told.exists() else (machine.state / "connections").glob("*.json")
        in_the_way = kept.with_name(f".new-{kept.name}.{daemon.pid}")
        in_the_way.mkdir()

        machine.save(WEB, **_server(machine, other))
        machine.wait_for_event("server.not_announced")
        machine.wait_for("web ready", count=2)
        in_the_way.rmdir()

        wait_until(lambda: f":{other}" in kept.read_text(), what="it is announced")
        assert len(machine.events("server.not_announced")) == 1


def test_a_server_writes_its_log_as_the_file_says(tmp_path: Path) -> None:
    """From its start on, and when the file changes."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(WEB, machine={"log": {"level": "warning"}}, **_server(machine, port))
    with machine.run():
        machine.wait_for('server heard {"do": "log", "level": "warning", "format": "auto"}')
        machine.save(WEB, machine={"log": {"format": "json"}}, **_server(machine, port))
        machine.wait_for('server heard {"do": "log", "level": "info", "format": "json"}')
        machine.save(WEB, machine={"log": {"retain": "1h"}}, **_server(machine, port))
        machine.wait_for_event("config.applied", generation=3)

    assert sum(line.startswith("server heard") for line in machine.journal()) == 4, (
        machine.journal()
    )


def test_an_end_beside_a_change_comes(tmp_path: Path) -> None:
    """A server that is to be another one while everything ends is none of both."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(WEB, **_server(machine, port))
    with machine.run() as daemon:
        machine.wait_for("web ready")
        (machine.state / "server/slow").touch()
        daemon.signal(signal.SIGINT)
        machine.wait_for("server heard")
        machine.save(WEB, **_server(machine, port, insecure_http=True))
        machine.wait_for_event("config.applied", generation=2)

        (machine.state / "server/slow").unlink()

        assert daemon.wait() == 0
        assert [line for line in machine.journal() if line.startswith("server ready")] == [
            f"server ready on 127.0.0.1:{port}"
        ]


def test_the_folder_of_all_workers_is_ours_alone(tmp_path: Path) -> None:
    """Otherwise somebody else could put another spool into it."""
    machine = Machine(tmp_path)
    machine.folder(0).parent.chmod(0o755)
    machine.save(WEB, **_server(machine, free_port()))
    with machine.run():
        told = machine.wait_for_event("child.launch_failed", child="worker:web")

        assert "is open to other users" in told["why"]


def test_who_holds_the_announcement_up_holds_nothing_else_up(tmp_path: Path) -> None:
    """Another run was stopped as it wrote its file: that is told, and mended when it is gone."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(WEB, **_server(machine, port))
    (machine.folder(0).parents[1] / "server").mkdir(mode=0o700)
    with machine.run():
        with Lock(machine.state / "connections.lock").take("a test"):
            told = machine.wait_for_event("server.not_announced")
            assert f"pid {os.getpid()}" in told["why"]
            machine.wait_for("web ready")
            Control(machine.state / "control.sock").get("/v1/status").read(MachineStatus)
            assert not _announced(machine)

        wait_until(lambda: _announced(machine), what="it is announced")
        assert len(machine.events("server.not_announced")) == 1


def _announced(machine: Machine) -> list[Path]:
    return [*machine.state.glob("connection.json"), *machine.state.glob("connections/*.json")]
