"""The file is edited while everything runs: what applies, when, and what changes nothing."""

import json
import os
import re
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.control import Control
from tests.integration.supervisor.fleets import Machine, token, worker
from tests.support.waiting import wait_until

SOON_S = 2.0
"""As promised, from the save to the effect."""


def _plan(machine: Machine, count: int = 1) -> str:
    """Return what the last of so many reloads did."""
    return str(machine.wait_for_event("config.applied", count=count)["plan"])


def test_a_reload_does_what_its_plan_says(tmp_path: Path) -> None:
    """Each class of change, within two seconds; whoever did not change keeps its process."""
    machine = Machine(tmp_path)
    (tmp_path / "other").mkdir()
    same = worker("same", 0)
    machine.save(
        same, worker("web", 1), worker("api", 2), worker("db", 3), worker("old", 4), worker("x", 5)
    )
    with machine.run() as daemon:
        daemon.wait_for("Running 6 workers")
        before = machine.pids()

        saved = time.monotonic()
        machine.save(
            same,
            worker("web", 1, concurrency=2),
            worker("api", 2, env={"KEY": "hunter2-hidden"}),
            worker("db", 3, server_url="http://127.0.0.1:10"),
            worker("shop", 5),
            worker("new", 6),
        )
        machine.wait_for("new ready")
        machine.wait_for("db ready", count=2)
        took_s = time.monotonic() - saved
        plan = _plan(machine)
        machine.wait_for_event("worker.removed", worker="old")

        assert plan == (
            "web: concurrency 1→2 (now) · api: env (next job) · "
            "db: server_url (drains, then restarts) · shop: renamed from x (now) · "
            "new: added (starts) · old: removed (drains)"
        )
        after = machine.pids()
        assert {name: after[name] for name in ("same", "web", "api")} == {
            name: before[name] for name in ("same", "web", "api")
        }
        assert machine.told("db")["server_url"] == "http://127.0.0.1:10"
        updates = [line for line in machine.journal() if '"update"' in line]
        assert {line.split(" ")[0] for line in updates} == {"web", "api", "x"}
        assert 'old heard {"do": "drain"}' in machine.journal()
        assert not any(
            line.startswith("same heard") for line in machine.journal()[6:] if "upd" in line
        )
        assert "hunter2" not in daemon.said
        # A busy test machine gets some grace; that it is 2 s on a quiet one is measured elsewhere.
        assert took_s < 3 * SOON_S


def test_the_log_changes_while_it_is_written(tmp_path: Path) -> None:
    """Lines for people, then less of them; what happened is kept for who asks all the same."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        machine.save(worker("a", 0), machine={"log": {"format": "text"}})
        wait_until(
            lambda: re.search(r"^\S+ info     config.applied  .*log", daemon.stderr, re.MULTILINE),
            what=f"a line for people of {daemon!r}",
        )
        machine.wait_for("a heard", count=2)

        machine.save(worker("a", 0), worker("b", 1), machine={"log": {"level": "error"}})
        machine.wait_for("b ready")
        control = Control(machine.state / "control.sock")
        wait_until(
            lambda: b'"child": "worker:b"' in control.get("/v1/events").body,
            what="it was kept",
        )
        assert "child=worker:b" not in daemon.stderr
        assert machine.told("b")["log"]["level"] == "error"


def test_included_files_are_watched(tmp_path: Path) -> None:
    """One that changes, one that comes, one that breaks, one that goes; a start survives it."""
    machine = Machine(tmp_path)
    folder = tmp_path / "workers.d"
    folder.mkdir(mode=0o700)

    def put(name: str, *workers: dict[str, Any]) -> None:
        draft = folder / f".{name}"
        draft.write_text(json.dumps({"workers": list(workers)}))
        draft.chmod(0o600)
        draft.replace(folder / name)

    put("b.json", worker("b", 1))
    machine.save(worker("a", 0), include=["workers.d/*.json"])
    with machine.run() as daemon:
        daemon.wait_for("Running 2 workers ")
        put("b.json", worker("b", 1, concurrency=2))
        assert _plan(machine) == "b: concurrency 1→2 (now)"
        put("c.json", worker("c", 2))
        assert _plan(machine, 2) == "c: added (starts)"
        machine.wait_for("c ready")
        (folder / "c.json").write_text("{")
        rejected = machine.wait_for_event("config.rejected")
        assert "workers.d/c.json:1:" in rejected["why"]
        (folder / "b.json").unlink()

    with machine.run() as daemon:
        daemon.wait_for("Running 3 workers ")
        machine.wait_for_event("config.last_good_used")
        (folder / "c.json").unlink()
        assert _plan(machine) == "b: removed (drains) · c: removed (drains)"


def test_a_broken_file_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    """It is told with its line; the next good one applies."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        good = machine.file.read_text()

        machine.write(good + "  workng_directory: x\n")
        rejected = machine.wait_for_event("config.rejected")
        machine.write(good.replace("version: 1", "version: 1\nmachine: {max_jobs: 9}"))

        assert f"{machine.file}:" in rejected["why"]
        assert "workng_directory" in rejected["why"]
        assert "machine: max_jobs" in _plan(machine)
        assert [len(pids) for pids in machine.pids().values()] == [1]


def test_a_mistake_in_an_entry_does_not_end_its_worker(tmp_path: Path) -> None:
    """It runs on as it was, beside others whose entries are right."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1))
    with machine.run() as daemon:
        daemon.wait_for("Running 2 workers")

        machine.save(worker("a", 0, working_directory="nowhere"), worker("b", 1, concurrency=3))

        assert _plan(machine) == "b: concurrency 1→3 (now)"
        machine.wait_for_event("config.partly_applied")
        assert machine.journal().count('a heard {"do": "drain"}') == 0


def test_a_half_written_file_is_waited_for(tmp_path: Path) -> None:
    """Nobody is alarmed by an editor that takes its time."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        text = machine.file.read_text().replace("name: a", "name: b")

        with machine.file.open("w") as file:
            for begin in range(0, len(text), 40):
                file.write(text[begin : begin + 40])
                file.flush()

        assert _plan(machine) == "b: renamed from a (now)"
        assert machine.events("config.rejected") == []


def _rename(machine: Machine, text: str) -> None:
    machine.write(text)


def _swap_link(machine: Machine, text: str) -> None:
    """Let the name be a link that is led elsewhere, as deployments do."""
    for number, content in ((1, machine.file.read_text()), (2, text)):
        folder = machine.home / f"release{number}"
        folder.mkdir()
        (folder / "workers.yaml").write_text(content)
        (folder / "workers.yaml").chmod(0o600)
    for number in (1, 2):
        link = machine.home / "new-link"
        link.symlink_to(machine.home / f"release{number}/workers.yaml")
        link.replace(machine.file)


def _delete_and_recreate(machine: Machine, text: str) -> None:
    machine.file.unlink()
    machine.wait_for_event("config.rejected")
    assert "is not there" in machine.events("config.rejected")[0]["why"]
    machine.write(text)


def _write_in_place(machine: Machine, text: str) -> None:
    machine.file.write_text(text)


@pytest.mark.parametrize("edit", [_rename, _swap_link, _delete_and_recreate, _write_in_place])
def test_every_way_of_saving_is_seen(tmp_path: Path, edit: Any) -> None:
    """A file that is renamed over, linked elsewhere, deleted and made again, or overwritten."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")

        edit(machine, machine.file.read_text().replace("name: a", "name: b"))

        # The folder of a link is another one, so what is relative to it may be as well.
        assert "b: renamed from a" in _plan(machine)


def test_a_token_in_a_file_of_its_own_is_watched(tmp_path: Path) -> None:
    """A new secret is told to the process that runs."""
    machine = Machine(tmp_path)
    secret = tmp_path / "token"
    secret.write_text(token(0))
    secret.chmod(0o600)
    machine.save(worker("a", 0) | {"token": "${file:token}"})
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")

        secret.write_text(token(0, 2))

        machine.wait_for(f'a heard {{"do": "identify", "token": "{token(0, 2)}"')
        assert _plan(machine) == "a: token (now)"
        assert len(machine.pids()["a"]) == 1
        assert token(0, 2) not in daemon.said


def test_hangup_reloads_at_once_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Also a file that is not watched."""
    machine = Machine(tmp_path)
    quiet = {"machine": {"watch_config": False}}
    machine.save(worker("a", 0), **quiet)
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        machine.save(worker("a", 0, concurrency=2), **quiet)

        daemon.signal(signal.SIGHUP)

        assert _plan(machine) == "a: concurrency 1→2 (now)"
        assert daemon.returncode is None


def test_a_start_with_a_broken_file_uses_the_last_good_one(tmp_path: Path) -> None:
    """It says so, keeps to it, and takes the file as soon as it is mended; strictly, it refuses."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
    good = machine.file.read_text()
    machine.write("version: 1\nworkers: [")

    with machine.run("strict") as daemon:
        assert daemon.wait() == 78
        assert "workers.yaml:2:" in daemon.stderr
    with machine.run() as daemon:
        machine.wait_for("a ready", count=2)
        machine.wait_for_event("config.last_good_used")
        machine.wait_for_event("config.rejected")
        machine.write(good.replace("name: a", "name: b"))
        assert "b: renamed from a" in _plan(machine)

    kept = machine.state / "last-good.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_service_waits_for_its_first_file(tmp_path: Path) -> None:
    """Nothing is there yet; when it is, it runs."""
    machine = Machine(tmp_path)
    with machine.run("waits") as daemon:
        machine.wait_for_event("config.rejected")
        assert daemon.returncode is None

        machine.save(worker("a", 0))

        machine.wait_for("a ready")


def test_a_worker_that_is_removed_finishes_and_may_come_back(tmp_path: Path) -> None:
    """While it drains it is removed, added, changed, removed and added: one process at a time."""
    machine = Machine(tmp_path)
    busy = machine.folder(1) / "busy"
    machine.save(worker("a", 0), worker("b", 1))
    with machine.run() as daemon:
        daemon.wait_for("Running 2 workers")
        busy.touch()
        for number, workers in enumerate(
            [
                [],
                [worker("b", 1, concurrency=2)],
                [worker("c", 1, concurrency=3)],
                [],
                [worker("d", 1, concurrency=4)],
            ],
            1,
        ):
            machine.save(worker("a", 0), *workers)
            _plan(machine, number)
        [first] = machine.pids()["b"]
        assert machine.alive(first)
        assert 'b heard {"do": "stop"}' not in machine.journal()

        busy.unlink()
        machine.wait_for('b heard {"do": "drain"}')
        os.kill(first, signal.SIGKILL)  # its job is done

        machine.wait_for("d ready")
        assert machine.told("d")["slots"] == 4
        assert {name: len(pids) for name, pids in machine.pids().items()} == {
            "a": 1,
            "b": 1,
            "d": 1,
        }


def test_flapping_edits_end_where_the_last_one_does(tmp_path: Path) -> None:
    """However fast they come, the last is what holds."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")

        for slots in range(2, 40):
            machine.save(worker("a", 0, concurrency=slots))

        def settled() -> bool:
            updates = [line for line in machine.journal() if line.startswith('a heard {"do": "upd')]
            return bool(updates) and '"slots": 39' in updates[-1]

        wait_until(settled)
        assert len(machine.pids()["a"]) == 1


def test_a_disabled_worker_has_no_process_until_it_is_enabled(tmp_path: Path) -> None:
    """And loses it when it is disabled."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1, enabled=False))
    with machine.run() as daemon:
        daemon.wait_for("Running")
        assert "b" not in machine.pids()

        machine.save(worker("a", 0, enabled=False), worker("b", 1))

        machine.wait_for("b ready")
        machine.wait_for('a heard {"do": "drain"}')
        machine.wait_for_event("child.stopped", child="worker:a")


def test_a_killed_daemon_leaves_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Its workers end with it, and the next start has them all again."""
    machine = Machine(tmp_path)
    machine.save(*[worker(name, number) for number, name in enumerate("abc")])
    with machine.run() as daemon:
        daemon.wait_for("Running 3 workers")
        pids = [pid for each in machine.pids().values() for pid in each]
        daemon.family.look()

        daemon.signal(signal.SIGKILL)

        wait_until(lambda: not any(machine.alive(pid) for pid in pids))
    with machine.run() as daemon:
        daemon.wait_for("Running 3 workers")
        assert [len(each) for each in machine.pids().values()] == [2, 2, 2]


def test_a_file_that_cannot_be_kept_is_applied(tmp_path: Path) -> None:
    """On a full disk the machine works on, by the new file; it is kept as soon as there is room."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        kept = machine.state / "last-good.json"
        before = kept.read_text()
        in_the_way = machine.state / f".new-last-good.json.{daemon.pid}"
        in_the_way.mkdir()

        machine.save(worker("a", 0), worker("b", 1))
        machine.wait_for("b ready")
        machine.wait_for_event("config.not_kept")
        assert kept.read_text() == before
        in_the_way.rmdir()

        wait_until(lambda: json.loads(kept.read_text())["generation"] == 2, what="it is kept")
        assert len(machine.events("config.not_kept")) == 1
