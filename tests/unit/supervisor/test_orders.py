"""What a worker is told."""

from pathlib import Path

from orchestrator.supervisor.logic import orders
from orchestrator.supervisor.logic.wanted import (
    JobLimits,
    LogWanted,
    MachineWanted,
    WorkerIdentity,
    WorkerWanted,
)
from worker.settings import LiveSettings

WORKER = WorkerWanted(
    name="web",
    identity=WorkerIdentity("http://a", "machine_1", "worker_1"),
    token="machine_1:worker_1:secret_1",
    working_directory=Path("/work"),
)
MACHINE = MachineWanted(server=None, workers=(WORKER,), name="oak", max_jobs=4)
PLACE = orders.Place(server_url="http://a", state_dir="/state", token_file=None)


def test_a_start_says_only_what_is_not_as_always() -> None:
    """Where it is, and what differs; the token is told by the lifeline."""
    told = orders.at_start(WORKER, MACHINE, PLACE, paused=None)

    assert told == {
        "name": "web",
        "server_url": "http://a",
        "state_dir": "/state",
        "working_directory": "/work",
        "slots": 1,
        "tags": [],
    }


def test_all_that_was_said_is_told() -> None:
    """Of the worker and of the machine."""
    worker = WorkerWanted(
        name="web",
        identity=WORKER.identity,
        token=None,
        working_directory=Path("/work"),
        concurrency=3,
        tags=("a",),
        kinds=("command",),
        env={"A": "b"},
        env_pass=("LC_*",),
        limits=JobLimits(pids=9),
        canary=True,
        kill_grace_s=2.0,
    )
    machine = MachineWanted(
        server=None,
        workers=(),
        name="oak",
        max_jobs=4,
        min_free_bytes=5,
        spool_max_bytes=6,
        log=LogWanted(level="error", directory=Path("/var/log/x")),
    )

    told = orders.live(worker, machine, paused="for lunch")

    assert told["paused"] == {"reason": "for lunch"}
    assert told["kinds"] == ["command"]
    assert told["limits"] == {
        **dict.fromkeys(("timeout_s", "memory_bytes", "cpus", "open_files")),
        "pids": 9,
        "output_bytes": JobLimits().output_bytes,
        "nice": JobLimits().nice,
    }
    assert told["log"] == {
        "level": "error",
        "format": "auto",
        "directory": "/var/log/x",
        "file_bytes": LogWanted().file_bytes,
        "files": 5,
        "keep_s": LogWanted().keep_s,
    }
    assert (told["min_free_bytes"], told["spool_max_bytes"]) == (5, 6)
    started = orders.at_start(worker, machine, PLACE, paused="for lunch")
    assert started.items() >= told.items()


def test_what_is_not_said_any_more_is_told_as_well() -> None:
    """A worker goes on with whatever it is not told."""
    worker = WorkerWanted(
        name="a", identity=WorkerIdentity("", "", ""), token=None, working_directory=Path("/")
    )
    machine = MachineWanted(server=None, workers=(), name="oak", max_jobs=4)

    told = orders.live(worker, machine, paused=None)

    assert told["spool_max_bytes"] is None
    assert told.keys() == LiveSettings.model_fields.keys()


def test_orders_have_the_words_of_the_lifeline() -> None:
    """A worker knows them by `do`."""
    assert orders.allow(None) == {"do": "allow", "slots": None}
    assert orders.identify("t") == {"do": "identify", "token": "t"}
    assert orders.update({"slots": 2}) == {"do": "update", "settings": {"slots": 2}}
