"""Following: bytes as the job wrote them, whatever the network does, and the job's own end."""

import base64
import json
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import (
    CREATED,
    JOB_ID,
    FakeApi,
    Reply,
    answer,
    event,
    job,
    piece,
    problem,
    stream,
)
from tests.support.waiting import wait_until

JOBS = "/api/v1/jobs"
STREAM = f"{JOBS}/{JOB_ID}/output/stream"
RESUME = f"orchestrator jobs logs -f {JOB_ID}"
SAID = f"orchestrator: {JOB_ID} is queued\n".encode()
SUCCEEDED = job("succeeded", exit_code=0)
EOF = event("eof", SUCCEEDED)


@pytest.fixture
def submitted(fake: FakeApi) -> FakeApi:
    """Give a server that accepts a job."""
    fake.on("POST", JOBS, answer(job(), 201))
    return fake


def test_each_stream_goes_to_its_own_byte_for_byte(cli: CommandLine, submitted: FakeApi) -> None:
    """Nothing is added, escaped or lost in a pipe, and standard error holds nothing else."""
    raw = bytes(range(256))
    frame = {"cursor": "1.3", "at": CREATED, "stream": "stdout"}
    odd = event("output", {**frame, "base64": base64.b64encode(raw).decode()}, id="1.3")
    submitted.on(
        "GET",
        STREAM,
        stream(piece("\x1b[31mé\r\n", 1), piece("oops", 2, stream="stderr"), odd, EOF),
    )

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert done.stdout == "\x1b[31mé\r\n".encode() + raw
    assert done.stderr == SAID + b"oops"
    assert done.returncode == 0


def test_output_is_seen_before_the_job_ends(cli: CommandLine, submitted: FakeApi) -> None:
    """A piece is written at once, even without an end of line."""
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield piece("working", 1)
        assert gate.wait(10)
        yield piece(" done\n", 2)
        yield EOF

    submitted.on("GET", STREAM, lambda _: Reply(pieces=pieces()))

    with cli.start("jobs", "submit", "--follow", "--", "true") as follower:
        assert follower.stdout is not None
        assert follower.stdout.read(7) == b"working"
        gate.set()
        assert follower.stdout.read() == b" done\n"
    assert follower.returncode == 0


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (job("failed", reason="exit_nonzero", exit_code=7), 7, ""),
        (job("failed", reason="signal", signal=11), 139, "signal 11"),
        (job("failed", reason="timeout_run", message="over 1 s"), 124, "timeout_run: over 1 s"),
        (job("cancelled", reason="cancelled_by_user"), 130, "cancelled"),
        (job("failed", reason="spawn_error", message="no program 'x'"), 1, "no program 'x'"),
        (job("expired", reason="queue_ttl"), 1, "queue_ttl"),
    ],
)
def test_the_exit_code_is_the_jobs_own(
    cli: CommandLine, submitted: FakeApi, ended: dict[str, object], code: int, said: str
) -> None:
    """A script sees what the command itself would have returned, and people the words for it."""
    submitted.on("GET", STREAM, stream(event("eof", ended)))

    done = cli("jobs", "submit", "--follow", "--", "true")

    words = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in words
    assert words == "" or words.startswith("orchestrator: ")


def test_a_lost_connection_is_taken_up_where_it_was_cut(
    cli: CommandLine, submitted: FakeApi
) -> None:
    """The next connection names the last whole event, so nothing is missing and nothing twice."""
    submitted.on(
        "GET",
        STREAM,
        stream(piece("one ", 1), piece("two ", 2), b"id: 1.9\nevent: outp", cut=True),
        stream(piece("three ", 3)),
        Reply(silent=True),
        problem(503, "unavailable", "starting"),
        stream(piece("four\n", 4), EOF),
    )

    done = cli("jobs", "submit", "--follow", "--", "true")

    asked = [request.headers.get("last-event-id") for request in submitted.asked_for("GET", STREAM)]
    assert done.stdout == b"one two three four\n"
    assert asked == [None, "1.2", "1.3", "1.3", "1.3"]
    assert done.returncode == 0


def test_whoever_cannot_come_back_is_told_that_the_job_goes_on(
    cli: CommandLine, submitted: FakeApi
) -> None:
    """After enough of trying it says how to resume, and ends as `server unreachable`."""
    submitted.on("GET", STREAM, stream(piece("one\n", 1), cut=True), Reply(silent=True))

    done = cli("jobs", "submit", "--follow", "--reconnect-for", "0.5", "--", "true")

    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (69, b"one\n")
    assert "orchestrator: connection lost; the job goes on" in said
    assert f"resume with: {RESUME}" in said


def test_a_key_that_is_refused_meanwhile_ends_it_with_the_way_back(
    cli: CommandLine, submitted: FakeApi
) -> None:
    """What no patience can mend is told at once."""
    submitted.on(
        "GET", STREAM, stream(piece("one\n", 1), cut=True), problem(401, "unauthenticated", "no")
    )

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert done.returncode == 77
    assert RESUME in done.stderr.decode()


def test_leaving_does_not_cancel(cli: CommandLine, submitted: FakeApi) -> None:
    """Ctrl-C ends the watching; the job goes on, and both ways are named."""
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield piece("working\n", 1)
        gate.wait(10)

    submitted.on("GET", STREAM, lambda _: Reply(pieces=pieces()))

    with cli.start("jobs", "submit", "--follow", "--", "true") as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert follower.stdout.readline() == b"working\n"
        follower.send_signal(signal.SIGINT)
        said = follower.stderr.read().decode()
    gate.set()

    assert follower.returncode == 130
    assert "the job goes on" in said
    assert RESUME in said
    assert f"orchestrator jobs cancel {JOB_ID}" in said
    assert "Traceback" not in said
    assert not submitted.asked_for("POST", f"{JOBS}/{JOB_ID}/cancel")


def test_leaving_a_wait_does_not_cancel(cli: CommandLine, fake: FakeApi) -> None:
    """The same for those who only wait."""
    gate = threading.Event()

    def held(_: object) -> Reply:
        gate.wait(10)
        return answer(job())

    fake.on("GET", f"{JOBS}/{JOB_ID}", held)

    with cli.start("jobs", "wait", JOB_ID) as waiter:
        assert waiter.stderr is not None
        wait_until(lambda: fake.asked)
        waiter.send_signal(signal.SIGINT)
        said = waiter.stderr.read().decode()
    gate.set()

    assert waiter.returncode == 130
    assert f"orchestrator jobs wait {JOB_ID}" in said


def test_a_job_that_nobody_can_run_says_why(cli: CommandLine, submitted: FakeApi) -> None:
    """Following a job that waits for a worker is no mystery."""
    waiting = {"state": "queued", "reason": None, "pending_reason": "no_worker_matches"}
    submitted.on("GET", STREAM, stream(event("state", waiting), EOF))

    done = cli("jobs", "submit", "--follow", "--tag", "gpu", "--", "true")

    assert b"the job waits: no worker has what it requires" in done.stderr
    assert b"orchestrator workers list" in done.stderr


def test_output_that_the_server_lost_is_told_once(cli: CommandLine, submitted: FakeApi) -> None:
    """A stream that ends with a problem is not asked for again: the answer would be the same."""
    words = "the server's disk has lost output of attempt 1"
    told = {"title": "Gone", "status": 410, "code": "output_lost", "detail": words, "hint": "look"}
    submitted.on("GET", STREAM, stream(piece("first\n", 1), event("problem", told)))

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert (done.returncode, done.stdout) == (1, b"first\n")
    assert done.stderr.decode().count(words) == 1


def test_another_attempt_and_missing_output_are_said(cli: CommandLine, submitted: FakeApi) -> None:
    """A second try and a gap are told apart from what the job wrote."""
    submitted.on(
        "GET",
        STREAM,
        stream(
            event("attempt", {"attempt": 1}, id="1.0"),
            piece("first\n", 1),
            event("incomplete", {"attempt": 1, "missing_bytes": 70}),
            event("attempt", {"attempt": 2}, id="2.0"),
            event("gap", {"cursor": "2.9", "dropped_bytes": 4096}, id="2.9"),
            event("news", {"of": "tomorrow"}),
            piece("second\n", 10, attempt=2),
            piece("a note\n", 11, attempt=2, stream="note"),
            EOF,
        ),
    )

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert done.stdout == b"first\nsecond\n"
    assert done.stderr.decode().splitlines() == [
        SAID.decode().strip(),
        "orchestrator: output incomplete (70 bytes missing)",
        "orchestrator: attempt 2 begins",
        "orchestrator: 4096 bytes left out here: the job wrote more than is kept",
        "orchestrator: a note",
    ]


def test_how_far_a_job_is_is_said_now_and_then(cli: CommandLine, submitted: FakeApi) -> None:
    """A line for each tenth and for each new message, and none for what nobody would miss."""
    words = [(3, None), (9, None), (13, None), (14, "linking"), (20, "linking"), (31, "linking")]
    told = [
        event("progress", {"percent": percent, "message": message, "at": "2026-08-21T09:14:03Z"})
        for percent, message in words
    ]
    submitted.on("GET", STREAM, stream(*told, EOF))

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert done.stderr.decode().splitlines()[1:] == [
        "orchestrator: 3 %",
        "orchestrator: 13 %",
        "orchestrator: 14 % – linking",
        "orchestrator: 31 % – linking",
    ]


def test_with_json_the_document_is_the_job_at_its_end(cli: CommandLine, submitted: FakeApi) -> None:
    """Standard output can be parsed; what the job wrote is still seen, beside it."""
    submitted.on("GET", STREAM, stream(piece("line\n", 1), EOF))

    done = cli("jobs", "submit", "--follow", "--json", "--", "true")

    assert json.loads(done.stdout) == SUCCEEDED
    assert done.stderr == SAID + b"line\n"


def test_an_event_that_is_none_of_ours_is_the_servers_fault(
    cli: CommandLine, submitted: FakeApi
) -> None:
    """A stream that cannot be understood is not shown as if it were complete."""
    submitted.on("GET", STREAM, stream(event("output", {"nonsense": 1}), EOF))

    done = cli("jobs", "submit", "--follow", "--", "true")

    assert done.returncode == 70
    assert b"no OutputFrame" in done.stderr
    assert b"Traceback" not in done.stderr


def test_logs_follow_a_job_that_is_over(cli: CommandLine, fake: FakeApi) -> None:
    """The whole output and the job's code, however often it is asked for."""
    ended = event("eof", job("failed", reason="exit_nonzero", exit_code=7))
    fake.on("GET", STREAM, stream(piece("line\n", 1), ended))

    for _ in range(2):
        done = cli("jobs", "logs", "-f", JOB_ID)
        assert (done.returncode, done.stdout, done.stderr) == (7, b"line\n", b"")


def test_logs_can_follow_one_stream_of_one_attempt_as_json_lines(
    cli: CommandLine, fake: FakeApi
) -> None:
    """A program reads one piece per line, as the API gives it."""
    fake.on("GET", STREAM, stream(piece("out\n", 1), piece("err\n", 2, stream="stderr"), EOF))

    done = cli("jobs", "logs", "-f", JOB_ID, "--attempt", "2", "--stream", "stderr", "--json")

    [line] = done.stdout.splitlines()
    assert json.loads(line)["text"] == "err\n"
    assert fake.asked[0].query == {"attempt": ["2"]}


def test_logs_of_a_server_that_was_never_there_fail_at_once(
    cli: CommandLine, fake: FakeApi
) -> None:
    """Patience is for a server that was there."""
    fake.on("GET", STREAM, Reply(silent=True))

    done = cli("jobs", "logs", "-f", JOB_ID)

    assert done.returncode == 69
    assert len(fake.asked) == 1


def test_logs_until_now_are_read_page_by_page(cli: CommandLine, fake: FakeApi) -> None:
    """Pages are joined, each stream to its own, until there is no more now."""

    def page(asked: object) -> Reply:
        after = getattr(asked, "query", {}).get("after", ["0"])[0]
        frames = [
            json.loads(piece(f"{after}\n", 1, stream=name).split(b"data: ")[1])
            for name in ("stdout", "stderr")
        ]
        following = str(int(after) + 1)
        over = after == "2"
        return answer({"items": frames, "next_cursor": following, "eof": over})

    fake.on("GET", f"{JOBS}/{JOB_ID}/output", page)

    done = cli("jobs", "logs", JOB_ID)
    only = cli("jobs", "logs", JOB_ID, "--stream", "stderr")
    document = cli("jobs", "logs", JOB_ID, "--json", "--stream", "stdout")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n1\n2\n", b"0\n1\n2\n")
    assert (only.stdout, only.stderr) == (b"0\n1\n2\n", b"")
    listed = json.loads(document.stdout)
    assert [item["text"] for item in listed["items"]] == ["0\n", "1\n", "2\n"]
    assert (listed["next_cursor"], listed["eof"]) == ("3", True)


def test_logs_say_that_some_output_never_came(cli: CommandLine, fake: FakeApi) -> None:
    """Behind the last word, in the words of the guarantee; in a document it is a field."""
    item = json.loads(piece("here\n", 1).split(b"data: ")[1])
    page = {"items": [item], "next_cursor": "1.5", "eof": True, "missing_bytes": 16}
    fake.on("GET", f"{JOBS}/{JOB_ID}/output", answer(page))

    done = cli("jobs", "logs", JOB_ID)
    document = cli("jobs", "logs", JOB_ID, "--json")

    assert done.stdout == b"here\n"
    assert done.stderr == b"orchestrator: output incomplete (16 bytes missing)\n"
    assert json.loads(document.stdout)["missing_bytes"] == 16


def test_logs_of_a_job_that_still_runs_end_where_it_is_now(cli: CommandLine, fake: FakeApi) -> None:
    """Without -f nobody waits; an empty page is asked for once more, and then believed."""
    empty = answer({"items": [], "next_cursor": "1.0", "eof": False})
    fake.on("GET", f"{JOBS}/{JOB_ID}/output", empty)

    done = cli("jobs", "logs", JOB_ID)

    assert (done.returncode, done.stdout) == (0, b"")
    assert len(fake.asked) == 2
