"""Why a worker takes nothing, and how that is kept."""

from pathlib import Path

import pytest

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.supervisor.holds import Holds
from orchestrator.supervisor.logic.hold import Hold, HoldKind

PAUSE = Hold(HoldKind.PAUSE, "a flaky disk", until=50.0)


def test_a_hold_ends_at_its_moment() -> None:
    """One without a moment lasts until it is taken back."""
    assert (PAUSE.is_over(49.0), PAUSE.is_over(50.0)) == (False, True)
    assert not Hold(HoldKind.DRAIN, "").is_over(1e12)


@pytest.mark.parametrize("hold", [PAUSE, Hold(HoldKind.DRAIN, ""), Hold(HoldKind.STOP, "")])
def test_a_hold_reads_back_as_it_was_kept(hold: Hold) -> None:
    """With its kind, its reason and its moment."""
    assert Hold.from_json(hold.as_json()) == hold


@pytest.mark.parametrize(
    "kept", [None, {}, {"kind": "nap", "reason": "", "until": None}, {"kind": "pause"}]
)
def test_what_is_none_holds_nobody(kept: object) -> None:
    """A worker that works is better than one that nobody knows to be held."""
    assert Hold.from_json(kept) is None


def test_holds_are_kept_for_the_next_run(tmp_path: Path) -> None:
    """Those that were taken back are not."""
    path = tmp_path / "holds.json"
    holds = Holds(path)
    holds.put("a", PAUSE)
    holds.put("b", Hold(HoldKind.DRAIN, "soon"))
    holds.put("b", None)

    again = Holds(path)

    assert (again.of("a"), again.of("b")) == (PAUSE, None)
    assert (again.over(49.0), again.over(50.0)) == ([], ["a"])


def test_what_cannot_be_written_down_does_not_happen(tmp_path: Path) -> None:
    """Neither a hold nor its end by a person's word; but one whose time has passed is over."""
    folder = tmp_path / "state"
    folder.mkdir()
    holds = Holds(folder / "holds.json")
    holds.put("a", PAUSE)
    folder.rename(tmp_path / "away")

    for key, hold in (("a", None), ("b", PAUSE)):
        with pytest.raises(StateUnavailable):
            holds.put(key, hold)
    assert (holds.of("a"), holds.of("b")) == (PAUSE, None)
    assert holds.over(50.0) == ["a"]

    holds.end("a")

    assert holds.over(50.0) == []


@pytest.mark.parametrize("content", ["{", "[1]", "null", '{"a": 5}'])
def test_a_damaged_file_holds_nobody(tmp_path: Path, content: str) -> None:
    """It is not worth that nothing runs."""
    path = tmp_path / "holds.json"
    path.write_text(content)

    assert Holds(path).of("a") is None
