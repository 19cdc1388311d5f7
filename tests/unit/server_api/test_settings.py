"""Settings, problems, chance and pulse: small rules that need no server."""

from pathlib import Path

import pytest

from orchestrator.core.retention import Retention
from orchestrator.kernel import errors
from orchestrator.kernel.errors import ConfigInvalid, OrchestratorError
from orchestrator.protocol.limits import UPLOAD_BYTES
from orchestrator.server.api.problems import headers_of, problem_of, status_of
from orchestrator.server.chance import Chance
from orchestrator.server.settings import load, shown_database
from orchestrator.server.upkeep.pulse import STALE_S, Pulse

HERE = Path("/data")


def test_settings_come_from_the_command_line_and_the_environment() -> None:
    """Host and port are parsed, names and limits read, and everything has a default."""
    plain = load(HERE, environ={})
    chosen = load(
        HERE,
        "[::1]:9000",
        environ={
            "ORCHESTRATOR_ALLOWED_HOSTS": "Build.example, [fd00::1] ,",
            "ORCHESTRATOR_MAX_UPLOAD_BYTES": "1000",
            "ORCHESTRATOR_DISK_RESERVE_BYTES": "67108864",
            "ORCHESTRATOR_KEEP_SUCCEEDED_DAYS": "7",
            "ORCHESTRATOR_KEEP_FAILED_DAYS": "365",
        },
    )

    assert (plain.host, plain.port, plain.max_upload_bytes) == ("127.0.0.1", 8700, UPLOAD_BYTES)
    assert (chosen.host, chosen.port, chosen.max_upload_bytes) == ("::1", 9000, 1000)
    assert (plain.reserve_bytes, chosen.reserve_bytes) == (32 * 1024 * 1024, 64 * 1024 * 1024)
    assert plain.retention == Retention(30.0, 90.0)
    assert chosen.retention == Retention(7.0, 365.0)
    assert chosen.allowed_hosts == ("build.example", "[fd00::1]")


@pytest.mark.parametrize(
    ("listen", "environ"),
    [
        ("8700", {}),
        ("localhost:", {}),
        ("localhost:70000", {}),
        ("::1:8700", {}),
        ("a b:1", {}),
        ("h:1", {"ORCHESTRATOR_ALLOWED_HOSTS": "http://x"}),
        ("h:1", {"ORCHESTRATOR_MAX_UPLOAD_BYTES": "1 GiB"}),
        ("h:1", {"ORCHESTRATOR_MAX_UPLOAD_BYTES": "0"}),
        ("h:1", {"ORCHESTRATOR_MAX_UPLOAD_BYTES": "9" * 5000}),
        ("h:1", {"ORCHESTRATOR_MAX_UPLOAD_BYTES": ""}),
        ("h:1", {"ORCHESTRATOR_DISK_RESERVE_BYTES": "1024"}),
        ("h:1", {"ORCHESTRATOR_KEEP_SUCCEEDED_DAYS": "0"}),
        ("h:1", {"ORCHESTRATOR_KEEP_FAILED_DAYS": "1.5"}),
    ],
)
def test_wrong_settings_are_refused_with_an_example(listen: str, environ: dict[str, str]) -> None:
    """A setting that cannot be meant stops the start and says what to write."""
    with pytest.raises(ConfigInvalid) as refused:
        load(HERE, listen, environ=environ)

    assert refused.value.hint


def test_a_database_may_be_named_in_two_places() -> None:
    """The command line counts before the environment, and a password is shown nowhere."""
    url = "postgresql://ada:se%40cret@db.example:5433/jobs?sslmode=require"
    typed = "postgresql://ada@db.example/jobs"

    told = load(HERE, environ={"ORCHESTRATOR_DATABASE": url})
    both = load(HERE, database=typed, environ={"ORCHESTRATOR_DATABASE": url})

    assert load(HERE, environ={}).database is None
    assert (told.database, both.database) == (url, typed)
    assert "cret" not in repr(told)
    assert shown_database(url) == "postgresql://ada@db.example:5433/jobs"
    assert shown_database("postgresql:///jobs?host=/run/pg") == "postgresql://localhost/jobs"
    assert shown_database(None) == "sqlite"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jobs",
        "mysql://u:secret@h/x",
        "postgresql://u:secret@h",
        "postgresql://u:sec/ret@h/x",
        "postgresql://u:sec?ret@h/x",
        "postgresql://u:sec#ret@h/x",
        "postgresql://[u:secret@h/x",
    ],
)
def test_a_wrong_database_is_refused_without_quoting_it(url: str) -> None:
    """An address that cannot be meant may hold a password in any place."""
    with pytest.raises(ConfigInvalid) as refused:
        load(HERE, environ={"ORCHESTRATOR_DATABASE": url})

    assert refused.value.hint
    assert "ret" not in f"{refused.value!r}"


@pytest.mark.parametrize("url", ["postgresql://u:s@h/x", "postgresql://h/x?user=u&password=s"])
def test_a_password_is_not_typed(url: str) -> None:
    """Whoever lists the processes of a machine reads their command lines."""
    with pytest.raises(ConfigInvalid, match="password"):
        load(HERE, database=url, environ={})

    assert load(HERE, environ={"ORCHESTRATOR_DATABASE": url}).database == url


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RequestInvalid("x"), 422),
        (errors.RequestInvalid("x", code="json_invalid"), 400),
        (errors.NotFound("x"), 404),
        (errors.Forbidden("x"), 403),
        (errors.Unauthenticated("x"), 401),
        (errors.LeaseLost("x"), 409),
        (errors.AlreadyExists("x"), 409),
        (errors.IllegalTransition("x"), 409),
        (errors.StoreBusy("x"), 503),
        (errors.Overloaded("x", retry_after_s=7), 503),
        (errors.InvariantViolated("x"), 500),
        (errors.ConfigInvalid("x"), 500),
    ],
)
def test_each_error_has_its_status(error: OrchestratorError, status: int) -> None:
    """What a caller can mend is 4xx, what passes is 503, what is our fault is 500."""
    assert status_of(error) == problem_of(error).status == status


def test_a_fault_of_ours_is_told_without_its_words() -> None:
    """The message of an invariant is for the log, not for a client."""
    told = problem_of(errors.InvariantViolated("the database is at /secret/path"), "req_1")

    assert "secret" not in told.model_dump_json()
    assert (told.code, told.request_id) == ("internal", "req_1")


def test_whoever_is_sent_away_is_told_when_to_come_back() -> None:
    """Every 503 names the seconds to wait."""
    assert headers_of(errors.Overloaded("x", retry_after_s=7)) == {"retry-after": "7"}
    assert headers_of(errors.StoreBusy("x")) == {"retry-after": "1"}


def test_chance_gives_nothing_twice() -> None:
    """Bytes that are fetched in bulk are handed out once each, and all of them are new."""
    chance = Chance()

    drawn = [chance.take(10) for _ in range(2000)] + [chance.take(5000)]

    assert len(set(drawn)) == len(drawn)
    assert {len(piece) for piece in drawn} == {10, 5000}


def test_a_pulse_that_stops_is_noticed() -> None:
    """Ready means a commit not long ago; a server that stops is not ready at once."""
    pulse = Pulse()
    assert not pulse.is_ready(now=0.0)

    pulse.beat(now=100.0)
    assert pulse.is_ready(now=100.0 + STALE_S - 1)
    assert not pulse.is_ready(now=100.0 + STALE_S)

    pulse.beat(now=200.0)
    pulse.stop()
    assert not pulse.is_ready(now=200.0)
