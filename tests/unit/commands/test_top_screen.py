"""What `orchestrator top` draws, on screens of any size."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from orchestrator.commands.machine.top import screen
from orchestrator.commands.machine.top.screen import Line, View
from orchestrator.commands.machine.top.usage import Usage
from orchestrator.protocol.machine import (
    Banner,
    ConfigStatus,
    MachineStatus,
    RunningJob,
    ServerStatus,
    WorkerStatus,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = "job_01jbv0000000000000000000aa"


def _worker(
    name: str, state: str = "ready", reason: str | None = None, jobs: int = 0
) -> WorkerStatus:
    running = [
        RunningJob(job=f"{JOB}{one}", attempt=1, name=f"build {one}", started_at=NOW, pid=7 + one)
        for one in range(jobs)
    ]
    return WorkerStatus(
        name=name,
        state=state,
        since=NOW - timedelta(minutes=5),
        reason=reason,
        slots=3,
        running_count=jobs,
        running=running,
        working_directory="/srv",
    )


def _view(*workers: WorkerStatus, log: int = 50, **more: object) -> View:
    status = MachineStatus(
        version="1.2.3",
        pid=7,
        started_at=NOW - timedelta(hours=2),
        phase="running",
        machine="oak",
        state_dir="/state",
        max_jobs=8,
        running_count=sum(worker.running_count for worker in workers),
        config=ConfigStatus(source="options"),
        server=ServerStatus(state="ready", since=NOW),
        workers=list(workers),
    ).model_copy(update=more)
    usage = {f"{JOB}0": Usage(processes=4, memory_bytes=3 * 2**20, cpu_percent=151.7)}
    lines = [f"2026-01-02 info a.thing number={number}" for number in range(log)]
    return View(status=status, usage=usage, log=lines, chosen="web", now=NOW)


def _texts(view: View, width: int = 120, height: int = 40) -> list[str]:
    return [line.text.rstrip() for line in screen.lines(view, width=width, height=height)]


def test_everything_is_on_it() -> None:
    """The machine, each worker with its reason, each job with what it uses, the end of the log."""
    view = _view(_worker("web", "busy", jobs=2), _worker("api", "held", "the disk is full"))

    told = _texts(view)

    assert told[0] == "oak  up 2h  pid 7  1.2.3"
    assert told[1] == "workers 1/2 ready  jobs 2 of at most 8  server ready"
    assert any(line.split() == ["web", "busy", "5m", "2/3"] for line in told)
    assert any(line.split()[:4] == ["api", "held", "5m", "0/3"] for line in told)
    assert any(line.endswith("the disk is full") for line in told)
    first = next(line for line in told if line.startswith(f"{JOB}0"))
    assert first.split()[2:] == ["0.0s", "152", "3.0M", "4", "build", "0"]
    second = next(line for line in told if line.startswith(f"{JOB}1"))
    assert second.split()[3:6] == ["-", "-", "-"]
    assert told[-2].endswith("number=49")
    assert told[-1] == screen.KEYS


@pytest.mark.parametrize("width", [1, 2, 10, 20, 40, 79, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 10, 24, 60])
def test_it_fits_on_every_screen(width: int, height: int) -> None:
    """As many lines as there are rows, each as wide as the screen, also with wide letters."""
    view = _view(*(_worker(f"w{one}", "busy", "日本語の理由" * 9, jobs=2) for one in range(9)))

    drawn = screen.lines(view, width=width, height=height)

    assert len(drawn) == height
    assert {cell_len(line.text) for line in drawn} == {width}


def test_what_matters_most_is_kept_on_a_small_screen() -> None:
    """The log gives way to the jobs, and these to the workers; a third is left for the log."""
    view = _view(*(_worker(f"w{one}", jobs=1) for one in range(4)))

    told = _texts(view, width=60, height=16)

    assert [line.split()[0] for line in told[3:8]] == ["WORKER", "w0", "w1", "w2", "w3"]
    assert told[-2].startswith("2026")


def test_nothing_in_it_acts_on_the_terminal() -> None:
    """Names, reasons and log lines are foreign text."""
    view = _view(_worker("web", "held", "\x1b]0;owned\x07\u202egnp"))

    shown = "".join(line.shown(colour=False) for line in screen.lines(view, width=90, height=20))

    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "\\x1b]0;owned" in shown


def test_colours_are_left_out_where_nobody_wants_them() -> None:
    """Which worker is chosen is still to be seen."""
    line = Line("web held", "red", chosen=True)

    assert line.shown(colour=True) == "\x1b[31;7mweb held\x1b[0m"
    assert line.shown(colour=False) == "\x1b[7mweb held\x1b[0m"
    assert Line("x", "red").shown(colour=False) == "x"


def test_a_broken_configuration_is_seen_at_once() -> None:
    """Above everything else; and so is that it ends."""
    banner = Banner(message="workers.yaml:14:5: unknown key", at=0.0)
    config = ConfigStatus(source="file", banner=banner)

    told = _texts(_view(_worker("web"), config=config, phase="draining"))

    assert "DRAINING" in told[0]
    assert told[2] == "BROKEN workers.yaml:14:5: unknown key"


def test_without_an_answer_there_is_a_screen_all_the_same() -> None:
    """It says why, where the keys are told otherwise."""
    view = View(status=None, usage={}, log=[], message="nobody listens", now=NOW)

    told = _texts(view, height=5)

    assert (told[0], told[-1]) == ("no answer", "nobody listens")
    assert screen.plain(view) == []


def test_a_pipe_gets_everything_and_nothing_is_cut() -> None:
    """Long reasons stay whole."""
    reason = "because " * 40

    told = screen.plain(_view(_worker("web", "held", reason.strip(), jobs=1), log=2))

    assert any(line.endswith(reason.strip()) for line in told)
    assert told[-3:] == ["LOG", *_view(log=2).log]


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0B"), (999, "999B"), (1024, "1.0K"), (20 * 2**20, "20M"), (3 * 2**30, "3.0G")],
)
def test_sizes_are_short(count: int, told: str) -> None:
    """Three digits and a letter, as such programs show them."""
    assert screen.size(count) == told
