"""What is told of a machine, as health and as metrics."""

from datetime import UTC, datetime

import pytest

from orchestrator.protocol.machine import (
    Banner,
    ConfigStatus,
    MachineStatus,
    MetricsStatus,
    ServerStatus,
    WorkerStatus,
)
from orchestrator.supervisor.control import metrics
from orchestrator.supervisor.control.status import health
from orchestrator.supervisor.logic.standing import WorkerState

BROKEN = ConfigStatus(
    source="file", banner=Banner(message="workers.yaml:14:5: unknown key", at=0.0)
)
WELL = {"ready", "busy", "paused", "draining", "drained", "stopped", "disabled"}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _worker(name: str = "web", state: str = "ready", reason: str | None = None) -> WorkerStatus:
    return WorkerStatus(
        name=name,
        state=state,
        since=NOW,
        reason=reason,
        slots=3,
        running_count=2,
        starts=4,
        working_directory="/srv/web",
        contact_age_s=0.5,
        ends={"crashed": 2},
        attempts={"succeeded": 7, "failed": 1},
        leftovers=3,
        ended_kinds={"command": 6, "delay": 2},
        running_kinds={"command": 2},
    )


def _machine(*workers: WorkerStatus, **changes: object) -> MachineStatus:
    usual = MachineStatus(
        version="1.2.3",
        pid=7,
        started_at=NOW,
        phase="running",
        machine="box",
        state_dir="/state",
        max_jobs=8,
        running_count=2,
        config=ConfigStatus(source="options"),
        server=ServerStatus(state="ready", since=NOW),
        workers=list(workers),
    )
    return usual.model_copy(update=changes)


@pytest.mark.parametrize("state", sorted(WELL))
def test_what_somebody_wants_is_well(state: str) -> None:
    """A worker that is paused on purpose is no trouble."""
    assert health(_machine(_worker(state=state))).ok


@pytest.mark.parametrize("state", sorted(set(map(str, WorkerState)) - WELL))
def test_everything_else_is_trouble_with_its_reason(state: str) -> None:
    """Every other state of every worker is named."""
    told = health(_machine(_worker(), _worker("api", state, "no route to host")))

    assert not told.ok
    assert told.reasons == [f"api is {state}: no route to host"]


def test_a_machine_that_ends_or_waits_is_not_ready() -> None:
    """Neither is one whose server is not there."""
    down = ServerStatus(state="backoff", since=NOW)

    assert health(_machine(phase="draining")).reasons == ["it is draining"]
    assert health(_machine(machine="")).reasons == ["it waits for its configuration"]
    assert health(_machine(server=down)).reasons == ["the server is backoff"]


def test_metrics_are_what_a_scraper_reads() -> None:
    """Each family with its help and type, each sample in a line, and exactly one state."""
    lines = metrics.text(_machine(_worker(), _worker("api", "paused"))).splitlines()

    assert 'orchestrator_info{version="1.2.3",machine="box"} 1' in lines
    assert "# TYPE orchestrator_worker_starts_total counter" in lines
    assert 'orchestrator_worker_starts_total{worker="web"} 4' in lines
    assert 'orchestrator_worker_running{worker="web"} 2' in lines
    assert 'orchestrator_worker_contact_age_seconds{worker="api"} 0.5' in lines
    assert "orchestrator_config_rejected 0" in lines
    states = [line for line in lines if line.startswith("orchestrator_worker_state{")]
    assert [line for line in states if line.endswith(" 1")] == [
        'orchestrator_worker_state{worker="web",state="ready"} 1',
        'orchestrator_worker_state{worker="api",state="paused"} 1',
    ]
    assert len(states) == 2 * len(WorkerState)


def test_what_is_counted_has_its_cause() -> None:
    """Ends of processes, ends of tries, what was left behind, and what came of reloads."""
    config = ConfigStatus(source="file", results={"applied": 3, "rejected": 1}, applied_at=1.5e9)
    lines = metrics.text(_machine(_worker(), config=config, loop_lag_s=0.25)).splitlines()

    assert "# TYPE orchestrator_worker_ends_total counter" in lines
    assert 'orchestrator_worker_ends_total{worker="web",cause="crashed"} 2' in lines
    assert 'orchestrator_worker_attempts_total{worker="web",outcome="succeeded"} 7' in lines
    assert 'orchestrator_worker_leftovers_total{worker="web"} 3' in lines
    assert 'orchestrator_worker_ended_kinds_total{worker="web",kind="delay"} 2' in lines
    assert 'orchestrator_worker_running_kinds{worker="web",kind="command"} 2' in lines
    assert 'orchestrator_config_looks_total{result="rejected"} 1' in lines
    assert "orchestrator_config_applied_timestamp_seconds 1500000000" in lines
    assert "orchestrator_loop_lag_seconds 0.25" in lines


def test_large_numbers_are_told_whole() -> None:
    """Bytes are not rounded to six digits."""
    busy = _worker().model_copy(update={"waiting_bytes": 123_456_789})

    assert 'waiting_bytes{worker="web"} 123456789\n' in metrics.text(_machine(busy))


def test_metrics_that_cannot_be_told_are_trouble() -> None:
    """Somebody wants them where they are not, and is told why."""
    told = MetricsStatus(listen="127.0.0.1:9464", problem="the address is in use")

    assert health(_machine(metrics=told)).reasons == [
        "the metrics are not told by TCP: the address is in use"
    ]


def test_a_banner_is_a_metric() -> None:
    """So that somebody is woken by a file that is not applied."""
    told = metrics.text(_machine(config=BROKEN))

    assert "orchestrator_config_rejected 1\n" in told


def test_a_name_with_quotes_breaks_no_line() -> None:
    """Labels are escaped as the format says."""
    told = metrics.text(_machine(machine='a"b\\c\nd'))

    assert r'machine="a\"b\\c\nd"' in told


def test_what_nobody_said_is_no_sample() -> None:
    """A family without samples is left out as a whole."""
    assert "waiting_bytes" not in metrics.text(_machine(_worker()))
