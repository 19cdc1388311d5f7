"""What a reload would do, in words and for everybody."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.supervisor.logic import plan as module
from orchestrator.supervisor.logic.plan import When, plan
from orchestrator.supervisor.logic.wanted import (
    JobLimits,
    MachineWanted,
    Place,
    ServerWanted,
    WorkerIdentity,
    WorkerWanted,
)
from tests.support import documents


def _worker(name: str = "web", *, number: int = 1, server: str = "http://a", **more: Any) -> Any:
    known: dict[str, Any] = {
        "name": name,
        "identity": WorkerIdentity(server, "machine_1", f"worker_{number}"),
        "token": f"machine_1:worker_{number}:secret_1",
        "working_directory": Path("/work"),
    }
    return WorkerWanted(**(known | more))


def _machine(*workers: WorkerWanted, **more: Any) -> MachineWanted:
    known: dict[str, Any] = {"server": None, "name": "oak", "max_jobs": 4}
    return MachineWanted(workers=workers, **(known | more))


@pytest.mark.parametrize(
    ("values", "table"),
    [
        (WorkerWanted, module.OF_WORKERS),
        (MachineWanted, module.OF_MACHINES),
        (ServerWanted, module.OF_SERVERS),
    ],
)
def test_every_key_has_its_time(values: Any, table: Mapping[str, When | None]) -> None:
    """Whoever adds a key says when a change of it applies."""
    assert {field.name for field in dataclasses.fields(values)} == set(table)


OTHER: dict[str, Any] = {
    "working_directory": Path("/other"),
    "enabled": False,
    "paused": True,
    "create_working_directory": True,
    "allow_insecure": True,
    "concurrency": 2,
    "tags": ("gpu",),
    "kinds": ("command",),
    "env": {"A": "b"},
    "env_pass": ("LC_*",),
    "limits": JobLimits(pids=5),
    "canary": True,
    "kill_grace_s": 3.0,
    "drain_timeout_s": 60.0,
    "name": "shop",
    "token": "machine_1:worker_1:secret_2",
    "identity": WorkerIdentity("http://b", "machine_1", "worker_1"),
    "place": Place("f", 1, 1),
}


@pytest.mark.parametrize("key", sorted(module.OF_WORKERS))
def test_a_change_of_each_key_is_seen_and_applies_when_it_should(key: str) -> None:
    """One key differs, and the plan says so, with the time of the table."""
    when = module.OF_WORKERS[key]

    found = plan(_machine(_worker()), _machine(_worker(**{key: OTHER[key]})))

    assert [change.when for one in found.workers for change in one.changes] == (
        [] if when is None else [when]
    )
    assert all(one.restarts is (when is When.RESTARTS) for one in found.workers)


def test_a_plan_reads_as_a_person_would_say_it() -> None:
    """Everything in one line, those that did not change left out."""
    db, db_moved = _worker("db", number=3), _worker("db", number=3, server="http://b")
    old = _machine(_worker(), _worker("api", number=2), db, _worker("old", number=4))
    new = _machine(
        _worker(concurrency=2),
        _worker("api", number=2, env={"KEY": "hidden"}),
        db_moved,
        _worker("new", number=5),
        max_jobs=6,
    )

    assert str(plan(old, new)) == (
        "machine: max_jobs 4→6 (now) · web: concurrency 1→2 (now) · api: env (next job) · "
        "db: server_url (drains, then restarts) · new: added (starts) · old: removed (drains)"
    )
    assert str(plan(old, old)) == "nothing changes"
    assert not plan(old, old)


def test_changes_of_one_time_stand_together() -> None:
    """Durations have their unit, and a name is told with the old one."""
    new = _worker("shop", concurrency=3, drain_timeout_s=90.0, limits=JobLimits(nice=7, cpus=0.5))

    assert str(plan(_machine(_worker()), _machine(new))) == (
        "shop: renamed from web, concurrency 1→3, drain_timeout 600 s→90 s (now), "
        "limits.cpus none→0.5, limits.nice 5→7 (next job)"
    )


def test_no_secret_is_shown() -> None:
    """A new secret is told as one, and values that may hold one are not repeated."""
    new = _worker(
        token="machine_1:worker_1:secret_2", env={"A": "hunter2"}, paused=True, kinds=("delay",)
    )

    text = str(plan(_machine(_worker()), _machine(new)))

    assert text == "web: token, paused no→yes, kinds (now), env (next job)"


def test_a_worker_with_another_token_is_the_same_entry_and_another_worker() -> None:
    """It drains and begins anew, as does one whose server moved as well."""
    other = _worker(number=2, server="http://b", token="machine_1:worker_2:secret_9")

    found = plan(_machine(_worker()), _machine(other))

    assert str(found) == "web: token, server_url (drains, then restarts)"


def test_exchanged_tokens_are_exchanged_names() -> None:
    """A worker is who its token says: two that swap them keep their processes' memory apart."""
    old = _machine(_worker("a", number=1), _worker("b", number=2))
    new = _machine(_worker("a", number=2), _worker("b", number=1))

    assert plan(old, new).lines() == [
        "a: renamed from b (now)",
        "b: renamed from a (now)",
    ]


def test_enrolled_workers_go_by_their_names() -> None:
    """They have no token that says who they are: another name is another worker."""
    nobody = WorkerIdentity("", "", "")
    old = _machine(_worker("a", identity=nobody, token=None))
    new = _machine(_worker("b", identity=nobody, token=None))

    assert plan(old, new).lines() == ["b: added (starts)", "a: removed (drains)"]
    assert not plan(old, old)


def test_disabled_workers_come_and_go_quietly() -> None:
    """They have no process that could start or drain."""
    off = _worker(enabled=False)

    assert str(plan(_machine(), _machine(off))) == "web: added (disabled)"
    assert str(plan(_machine(off), _machine())) == "web: removed (was disabled)"
    assert str(plan(_machine(off), _machine(_worker()))) == "web: enabled (now)"
    assert str(plan(_machine(_worker()), _machine(off))) == "web: disabled (now)"


def test_what_concerns_the_server_restarts_it() -> None:
    """And one that is not wanted any more goes when nobody needs it."""
    server = ServerWanted(data_dir=Path("/data"))
    moved = dataclasses.replace(server, port=8800)

    assert str(plan(_machine(server=server), _machine(server=moved))) == (
        "server: port 8700→8800 (drains, then restarts)"
    )
    assert str(plan(_machine(), _machine(server=server))) == "server: added (now)"
    removed = plan(_machine(server=server), _machine())
    assert str(removed) == "server: removed (drains, then ends)"


WORDS = {
    "now": When.NOW,
    "next job": When.NEXT_JOB,
    "next start": When.NEXT_START,
    "drains and restarts": When.RESTARTS,
    "drains and restarts; now, if it is the same worker's": When.NOW,
}


def test_the_manual_says_when_a_change_applies() -> None:
    """Its last column is our table."""
    table = documents.rows(documents.section("ORCHESTRATOR.md", "Keys"))
    told = {row[0].strip("`"): WORDS.get(row[3]) for row in table}

    for field, when in module.OF_WORKERS.items():
        key = f"workers[].{field.removesuffix('_s')}"
        if field not in {"identity", "place", "limits"}:
            assert told[key] is when, key
    limits = {when for key, when in told.items() if key.startswith("workers[].limits.")}
    assert limits == {module.OF_WORKERS["limits"]}
    assert {when for key, when in told.items() if key.startswith("server.")} == {
        When.RESTARTS,
        When.NOW,
    }
    assert {when for key, when in told.items() if key.startswith("machine.")} == {When.NOW}
