"""A supervisor and its workers read what another version wrote down, told, or asks for."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.protocol.machine import Health, MachineStatus, WorkerStatus
from orchestrator.supervisor.holds import Holds
from orchestrator.supervisor.last_good import LastGood
from orchestrator.supervisor.logic.child import Child, ChildState
from orchestrator.supervisor.logic.hold import HoldKind
from orchestrator.supervisor.logic.patience import ChildPolicy
from orchestrator.supervisor.logic.standing import Facts, WorkerState, standing
from tests.fixtures.kept import MORE, grown, read_json, versions
from tests.integration.cli.commands import CommandLine
from tests.integration.worker.parent import working
from tests.support.workers import workplace

EACH_VERSION = pytest.mark.parametrize("version", versions(), ids=lambda path: path.name)


@EACH_VERSION
@pytest.mark.parametrize("newer", [False, True], ids=["as it is", "with more in it"])
def test_what_a_machine_wrote_down_is_read(tmp_path: Path, version: Path, newer: bool) -> None:
    """The file that was applied last, and who was held and why."""
    for name in ("last-good.json", "holds.json"):
        kept = read_json(version / "machine" / name)
        if newer:
            kept = {**kept, "api": grown(kept["api"])} if "api" in kept else kept | MORE
        (tmp_path / name).write_text(json.dumps(kept))

    good = LastGood.find(tmp_path)
    hold = Holds(tmp_path / "holds.json").of("api")

    assert good is not None
    assert good.raw == (version / "machine/workers.yaml").read_bytes()
    assert (good.generation, str(good.path)) == (1, "/srv/orchestrator/workers.yaml")
    assert hold is not None
    assert (hold.kind, hold.reason) == (HoldKind.PAUSE, "flaky disk")


@EACH_VERSION
def test_the_answers_of_another_orchestrator_are_read(version: Path) -> None:
    """Whole, and what a newer one adds to them is passed over."""
    models: dict[str, type[BaseModel]] = {
        "status": MachineStatus,
        "health-ready": Health,
        "workers-web": WorkerStatus,
    }
    for name, model in models.items():
        kept = read_json(version / f"machine/{name}.json")
        read = model.model_validate(kept)

        assert model.model_validate(grown(kept)) == read
        assert read.model_dump(mode="json").keys() >= kept.keys()


@EACH_VERSION
def test_the_file_of_another_version_is_loaded(tmp_path: Path, version: Path) -> None:
    """Nothing in it is wrong now; one of a version that nobody knows is refused, with its line."""
    (tmp_path / "project").mkdir()
    text = (
        (version / "machine/workers.yaml").read_text().replace("/srv/orchestrator", str(tmp_path))
    )
    file = tmp_path / "workers.yaml"
    check = CommandLine(tmp_path)
    file.touch(0o600)

    file.write_text(text)
    good = check("check", str(file))
    file.write_text(text.replace("version: 1", "version: 2"))
    newer = check("check", str(file))

    assert (good.returncode, good.stdout.decode()) == (0, f"{file}: nothing is wrong; 2 workers\n")
    assert newer.returncode == 78
    assert f"{file}:1:10: " in newer.stdout.decode()
    assert "version" in newer.stdout.decode()


@EACH_VERSION
def test_a_worker_obeys_a_supervisor_of_another_version(tmp_path: Path, version: Path) -> None:
    """What that one says is done; what a newer one says besides costs nothing that was said before.

    Settings that it does not know are refused whole, by name: it would be worse to run jobs without
    a limit that somebody has set.
    """
    kept = read_json(version / "lifeline.json")
    update, fewer, all_again, drain = kept["orders"]
    with workplace(tmp_path / "home") as place, working(place) as parent:
        parent.say(**update)
        told = parent.stands(lambda it: it["slots"] == 3, "it goes by the new settings")
        parent.say(**grown(update))
        parent.say(do="sing", loud=True)
        parent.say(**{**fewer, **MORE})
        parent.stands(lambda it: it["allowed"] == 1, "it has one slot left")
        parent.say(**all_again)
        parent.stands(lambda it: it["allowed"] == 3, "it has all of them")
        [refused] = parent.events("settings.refused")
        [unknown] = parent.events("order.unknown")
        parent.say(**drain)

        assert parent.program.wait(timeout_s=20) == 0
        assert "added_by_a_newer_version" in refused["reason"]
        assert unknown["order"] == "sing"
        assert told.keys() >= kept["standing"].keys()


@EACH_VERSION
def test_a_supervisor_understands_a_worker_of_another_version(version: Path) -> None:
    """It reads how the worker stands; a word that it does not know is *held*, with its reason."""
    kept = read_json(version / "lifeline.json")["standing"]
    child = Child(ChildPolicy(), state=ChildState.READY)

    as_it_is = standing(Facts(child=child, said=kept))
    more = standing(Facts(child=child, said=grown(kept)))
    strange = {**kept, "state": "dreaming", "reason": "it is night"}

    assert as_it_is.state is WorkerState.BUSY
    assert more == as_it_is
    unknown = standing(Facts(child=child, said=strange))
    assert (unknown.state, unknown.reason) == (WorkerState.HELD, "it is night")
