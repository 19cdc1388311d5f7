"""The figures of a machine by TCP: wanted or not, reached or not, and by whom."""

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.client.control import Control
from orchestrator.kernel.errors import Unavailable
from orchestrator.protocol.machine import MachineStatus
from tests.integration.supervisor.fleets import Machine, worker
from tests.support.installation import free_port
from tests.support.waiting import wait_until

CALL_S = 5.0


def _asked(
    port: int,
    path: str = "/metrics",
    *,
    method: str = "GET",
    host: str | None = None,
    at: str = "127.0.0.1",
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(at, port, timeout=CALL_S)
    try:
        connection.request(method, path, headers={} if host is None else {"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _status(machine: Machine) -> MachineStatus:
    return Control(machine.state / "control.sock").get("/v1/status").read(MachineStatus)


def _until(machine: Machine, condition: Callable[[MachineStatus], bool]) -> MachineStatus:
    wait_until(lambda: condition(_status(machine)), timeout_s=15, what=f"it of {machine.daemon!r}")
    return _status(machine)


def _is_told(status: MachineStatus) -> bool:
    return status.metrics is not None and status.metrics.url is not None


def _listen(port: int) -> dict[str, object]:
    return {"metrics": {"listen": f"127.0.0.1:{port}"}}


def test_figures_are_told_by_tcp_when_somebody_wants_it(tmp_path: Path) -> None:
    """From the save that says so to the one that does not, and at another address in between."""
    machine, first, second = Machine(tmp_path), free_port(), free_port()
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        assert _status(machine).metrics is None

        machine.save(worker("a", 0), machine=_listen(first))
        told = _until(machine, _is_told).metrics
        assert told is not None
        assert told.url == f"http://127.0.0.1:{first}/metrics"
        status, text = _asked(first)
        assert status == 200
        assert 'orchestrator_worker_starts_total{worker="a"} 1\n' in text
        assert 'orchestrator_config_looks_total{result="applied"} 2\n' in text
        assert "orchestrator_loop_lag_seconds " in text

        machine.save(worker("a", 0), machine=_listen(second))
        machine.wait_for_event("metrics.exposed", count=2)
        assert _asked(second)[0] == 200
        with pytest.raises(ConnectionRefusedError):
            _asked(first)

        machine.save(worker("a", 0))
        _until(machine, lambda status: status.metrics is None)
        with pytest.raises(ConnectionRefusedError):
            _asked(second)


def test_nothing_else_is_told_by_tcp(tmp_path: Path) -> None:
    """No status, no order, no reason; and a page of the web that leads its name to us gets none."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(worker("a", 0), machine=_listen(port))
    (machine.folder(0) / "exit-code").write_text("77")
    with machine.run("waits"):
        wait_until(lambda: _asks(port), timeout_s=15, what="somebody who listens")
        _until(machine, lambda status: status.workers[0].state == "auth_failed")

        for path in ("/v1/status", "/v1/events", "/v1/workers/a", "/", "/metrics/x"):
            assert _asked(port, path)[0] == 404, path
        assert _asked(port, "/v1/workers/a:pause", method="POST")[0] == 404
        assert _asked(port, method="POST")[0] == 404
        for name, code, well in (("live", 200, True), ("ready", 503, False)):
            status, told = _asked(port, f"/v1/health/{name}")
            assert (status, json.loads(told)) == (code, {"ok": well})
        assert _asked(port, host="evil.example.com")[0] == 421
        assert _asked(port, host=f"evil.example.com:{port}")[0] == 421
        assert _asked(port, host=f"localhost:{port}")[0] == 200
        assert _status(machine).workers[0].state == "auth_failed"


def test_the_address_itself_is_a_name_of_ours(tmp_path: Path) -> None:
    """Whoever scrapes it names it as the file does, whichever of this machine's it is."""
    machine, port = Machine(tmp_path), free_port()
    machine.save(worker("a", 0), machine={"metrics": {"listen": f"127.0.0.2:{port}"}})
    with machine.run():
        machine.wait_for_event("metrics.exposed")

        assert _asked(port, at="127.0.0.2")[0] == 200
        assert _asked(port, at="127.0.0.2", host="evil.example.com")[0] == 421


def _asks(port: int) -> bool:
    try:
        return _asked(port)[0] == 200
    except OSError:
        return False


def test_an_address_that_is_taken_is_told_and_taken_when_it_is_free(tmp_path: Path) -> None:
    """It is a reason in the status, the workers run, and it is over by itself."""
    machine = Machine(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        machine.save(worker("a", 0), machine=_listen(port))
        with machine.run() as daemon:
            daemon.wait_for("Running 1 worker ")
            control = Control(machine.state / "control.sock")
            told = _until(
                machine, lambda status: bool(status.metrics and status.metrics.problem)
            ).metrics
            assert told is not None
            assert told.url is None
            assert told.problem == f"cannot listen on 127.0.0.1:{port}: the address is in use"
            with pytest.raises(Unavailable) as refused:
                control.get("/v1/health/ready")
            assert refused.value is not None
            assert _status(machine).workers[0].state == "ready"

            other.close()
            _until(machine, _is_told)
            assert _asked(port)[0] == 200
            assert control.get("/v1/health/ready").status == 200
            assert len(machine.events("metrics.not_exposed")) == 1


def test_ends_of_processes_are_counted_by_their_cause(tmp_path: Path) -> None:
    """A crash, and what its entry made of it, are told apart."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1))
    (machine.folder(1) / "exit-code").write_text("78")
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        machine.wait_for_event("child.parked")
        [pid] = machine.pids()["a"]
        os.kill(pid, signal.SIGKILL)
        machine.wait_for("a ready", count=2)

        text = Control(machine.state / "control.sock").get("/metrics").body.decode()

    assert 'orchestrator_worker_ends_total{worker="a",cause="crashed"} 1\n' in text
    assert 'orchestrator_worker_ends_total{worker="b",cause="configuration"} 1\n' in text


def test_a_bad_address_is_refused_with_its_line(tmp_path: Path) -> None:
    """A reload to one that others could reach changes nothing."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        machine.save(worker("a", 0), machine={"metrics": {"listen": "0.0.0.0:9464"}})

        rejected = machine.wait_for_event("config.rejected")

        assert "workers.yaml:4:13: everybody on the network could read" in json.dumps(rejected)
        assert _status(machine).metrics is None
