"""Submitting: what is sent, what is printed, and that no job is ever made twice."""

import json

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import JOB_ID, KEY, FakeApi, Reply, answer, job, problem

JOBS = "/api/v1/jobs"


def test_a_submit_prints_the_id_alone_and_what_comes_next(cli: CommandLine, fake: FakeApi) -> None:
    """The id is data; the next steps are words."""
    fake.on("POST", JOBS, answer(job(pending_reason="no_worker_online"), 201))

    done = cli("jobs", "submit", "--name", "n", "--", "echo", "-n", "--", "x")

    [asked] = fake.asked
    assert (done.returncode, done.stdout.decode()) == (0, f"{JOB_ID}\n")
    assert f"orchestrator jobs logs -f {JOB_ID}" in done.stderr.decode()
    assert f"orchestrator jobs cancel {JOB_ID}" in done.stderr.decode()
    assert "queued (no_worker_online)" in done.stderr.decode()
    assert asked.json() == {
        "kind": "command",
        "name": "n",
        "params": {"argv": ["echo", "-n", "--", "x"]},
    }


def test_a_command_needs_no_dashes_before_it(cli: CommandLine, fake: FakeApi) -> None:
    """From the first word that is no option on, everything belongs to the command."""
    fake.on("POST", JOBS, answer(job(), 201))

    cli("jobs", "submit", "sh", "-c", "exit 7", "--json")

    assert fake.asked[0].json()["params"]["argv"] == ["sh", "-c", "exit 7", "--json"]


def test_json_is_the_servers_own(cli: CommandLine, fake: FakeApi) -> None:
    """Even fields that this program does not know are printed, and nothing else is."""
    fake.on("POST", JOBS, answer(job(future={"x": 1}), 201))

    done = cli("jobs", "submit", "--json", "--", "true")

    assert json.loads(done.stdout) == job(future={"x": 1})


def test_standard_input_travels_in_three_ways(cli: CommandLine, fake: FakeApi) -> None:
    """From a pipe with and without a dash, and from a file."""
    fake.on("POST", JOBS, answer(job(), 201))
    (cli.folder / "in").write_text("from a file\n")

    cli("jobs", "submit", "--stdin", "--", "cat", stdin=b"piped\n")
    cli("jobs", "submit", "--stdin", "-", "--", "cat", stdin=b"dashed\n")
    cli("jobs", "submit", "--stdin", "in", "--", "cat")

    sent = [asked.json()["params"]["stdin"] for asked in fake.asked]
    assert sent == ["piped\n", "dashed\n", "from a file\n"]


def test_a_variable_without_a_value_is_taken_from_the_environment(
    cli: CommandLine, fake: FakeApi
) -> None:
    """A secret reaches the job without standing on any command line."""
    fake.on("POST", JOBS, answer(job(), 201))
    words = ("--env", "TOKEN", "--env", "A=b=c", "--env", "EMPTY=")

    cli("jobs", "submit", *words, "--", "true", env={"TOKEN": "hunter2"})

    assert fake.asked[0].json()["env"] == {"TOKEN": "hunter2", "A": "b=c", "EMPTY": ""}


def test_params_may_stand_in_a_file(cli: CommandLine, fake: FakeApi) -> None:
    """What is long or secret needs no command line."""
    fake.on("POST", JOBS, answer(job(), 201))
    (cli.folder / "p.json").write_text('{"ms": 20}')

    cli("jobs", "submit", "--kind", "delay", "--params", "@p.json")

    assert fake.asked[0].json() == {"kind": "delay", "params": {"ms": 20}}


def test_a_lost_answer_makes_no_second_job(cli: CommandLine, fake: FakeApi) -> None:
    """The request is repeated with the same key, so the server can tell that it is the same."""
    fake.on("POST", JOBS, Reply(silent=True), Reply(silent=True), answer(job(), 201))

    done = cli("jobs", "submit", "--", "true")

    keys = [asked.headers["idempotency-key"] for asked in fake.asked]
    assert done.returncode == 0
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len({asked.body for asked in fake.asked}) == 1


def test_two_submits_are_two_jobs(cli: CommandLine, fake: FakeApi) -> None:
    """Without a key of one's own every submit has a new one."""
    fake.on("POST", JOBS, answer(job(), 201))

    cli("jobs", "submit", "--", "true")
    cli("jobs", "submit", "--", "true")

    assert len({asked.headers["idempotency-key"] for asked in fake.asked}) == 2


def test_a_key_of_ones_own_is_sent_as_it_is(cli: CommandLine, fake: FakeApi) -> None:
    """A script decides what counts as the same submit."""
    fake.on("POST", JOBS, answer(job(), 201))

    cli("jobs", "submit", "--idempotency-key", "nightly/2026-08-21", "--", "true")

    assert fake.asked[0].headers["idempotency-key"] == "nightly/2026-08-21"


def test_whoever_never_hears_an_answer_is_told_how_to_ask_again(
    cli: CommandLine, fake: FakeApi
) -> None:
    """The key of the lost request is printed: a second try with it cannot make a second job."""
    fake.on("POST", JOBS, Reply(silent=True))

    done = cli("jobs", "submit", "--", "true")

    assert done.returncode == 69
    assert f"--idempotency-key {fake.asked[0].headers['idempotency-key']}" in done.stderr.decode()


def test_a_busy_server_is_asked_again_when_it_says(cli: CommandLine, fake: FakeApi) -> None:
    """An overloaded or starting server is not an error yet."""
    busy = problem(503, "store_busy", "busy", retry_after=1)
    fake.on("POST", JOBS, busy, answer(job(), 201))

    assert cli("jobs", "submit", "--", "true").returncode == 0


def test_a_refusal_is_told_by_the_options_names(cli: CommandLine, fake: FakeApi) -> None:
    """What only the server knows is still told in the words that were typed."""
    fields = [{"field": "kind", "fault": "is not a known kind of job"}]
    fake.on("POST", JOBS, problem(422, "request_invalid", "not valid: kind", fields=fields))

    done = cli("jobs", "submit", "--kind", "comand", "--params", "{}")

    assert done.returncode == 2
    assert "--kind: is not a known kind of job" in done.stderr.decode()


@pytest.mark.parametrize(
    ("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("expired", 1)]
)
def test_waiting_prints_the_id_and_tells_only_whether_it_succeeded(
    cli: CommandLine, fake: FakeApi, state: str, code: int
) -> None:
    """Nothing but the end: 0 when the job succeeded, 1 when not."""
    ended = job(state, exit_code=7 if code else 0, finished_at="2026-08-21T09:14:05Z")
    fake.on("POST", JOBS, answer(job(), 201))
    fake.on("GET", f"{JOBS}/{JOB_ID}", answer(job("running")), answer(ended))

    done = cli("jobs", "submit", "--wait", "--", "true")

    assert (done.returncode, done.stdout.decode()) == (code, f"{JOB_ID}\n")
    assert f"{JOB_ID} {state}" in done.stderr.decode()
    assert fake.asked[1].headers["prefer"] == "wait=30"


def test_waiting_with_json_prints_the_job_at_its_end(cli: CommandLine, fake: FakeApi) -> None:
    """One document, and it is the finished job with its result."""
    ended = job("succeeded", result={"ok": True, "took_ms": 20})
    fake.on("POST", JOBS, answer(job(), 201))
    fake.on("GET", f"{JOBS}/{JOB_ID}", answer(ended))

    done = cli("jobs", "submit", "--kind", "delay", "--params", '{"ms": 20}', "--wait", "--json")

    assert json.loads(done.stdout) == ended


def test_a_wait_may_have_an_end(cli: CommandLine, fake: FakeApi) -> None:
    """Who waited long enough is told how the job is, with a code of its own; it goes on."""
    fake.on("GET", f"{JOBS}/{JOB_ID}", answer(job("running")))

    done = cli("jobs", "wait", JOB_ID, "--timeout", "300ms")

    assert done.returncode == 124
    assert f"{JOB_ID} is running, and goes on" in done.stderr.decode()
    assert not fake.asked_for("POST", f"{JOBS}/{JOB_ID}/cancel")


def test_waiting_survives_a_server_that_restarts(cli: CommandLine, fake: FakeApi) -> None:
    """Lost answers of the long poll are asked for again."""
    gone = Reply(silent=True)
    fake.on("GET", f"{JOBS}/{JOB_ID}", answer(job("running")), gone, gone, answer(job("failed")))

    done = cli("jobs", "wait", JOB_ID)

    assert done.returncode == 1
    assert "connected again" in done.stderr.decode()


def test_no_secret_is_on_any_command_line_or_in_any_word_of_ours(
    cli: CommandLine, fake: FakeApi
) -> None:
    """The key travels in the environment and in a header, and nowhere else."""
    fake.on("POST", JOBS, Reply(silent=True))

    done = cli("jobs", "submit", "--env", "PASSWORD=hunter2", "--", "true")

    assert KEY.encode() not in done.stdout + done.stderr
    assert b"hunter2" not in done.stdout + done.stderr
