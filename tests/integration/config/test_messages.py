"""What a person reads for each mistake: the place, what is wrong there, and what to do."""

import pytest

from orchestrator.protocol.limits import SLOTS_MAX
from tests.support.configs import ConfigFolder, token, words
from tests.support.needs import as_anybody

FILE = [
    ("version: 2", "1:10: this must be 1"),
    ("version: true", "1:10: this must be 1"),
    ("version: 1.0", "1:10: this must be 1"),
    ("workers: []", "1:1: 'version' is missing in the file"),
    ("- version: 1", "1:1: this must be a mapping"),
    ("just words", "1:1: this must be a mapping"),
    ("version: 1\nworkers: {}", "2:10: this must be a list"),
    ("version: 1\nworkers:\n  - 5", "3:5: this must be a mapping"),
    ("version: 1\nworkers:", "1:1: there is nothing to run in this file"),
    ("version: 1\nserver: {embedded: false}", "1:1: there is nothing to run in this file"),
    ("version: 1\nworker: []", "2:1: unknown key 'worker' in the file: did you mean 'workers'?"),
    ("version: 1\nzzz: 1", "there are: version, include, server, machine, defaults, workers"),
    ("version: 1\nserver: {listen: 8700}", "2:18: this is no address"),
    ("version: 1\nserver: {listen: '127.0.0.1:99999'}", "2:18: this is no address"),
    ("version: 1\nserver: {listen: '0.0.0.0:8700'}", "2:18: without encryption, others"),
    ("version: 1\nserver: {listen: 'example.com:1'}", "say 'insecure_http: true'"),
    ("version: 1\nserver: {embeded: true}", "unknown key 'embeded' in server: did you mean 'embe"),
    ("version: 1\nserver: {data_dir: ' '}", "2:20: this is empty"),
    ("version: 1\nmachine: {max_jobs: 0}", "2:21: this must be 'auto', or from 1 to 65536"),
    ("version: 1\nmachine: {max_jobs: true}", "2:21: this must be 'auto', or from 1 to 65536"),
    ("version: 1\nmachine: {name: ''}", "2:17: this is empty"),
    ('version: 1\nmachine: {name: "a\\tb"}', "2:17: this must not contain control characters"),
    ("version: 1\nmachine: {drain_timeout: 10}", "write it with its unit: 500ms, 10s, 5m, 1h30m"),
    ("version: 1\nmachine: {drain_timeout: 0s}", "this is 0s; it must be from 1s to 30d"),
    ("version: 1\nmachine: {drain_timeout: 5 m}", "2:26: this is no duration"),
    ("version: 1\nmachine: {disk: {min_free: 110%}}", "this is neither a size nor a share"),
    ("version: 1\nmachine: {disk: {spool_max: 1MiB}}", "this is 1MiB; it must be from 32MiB to"),
    ("version: 1\nmachine: {disk: {spool_max: 2G}}", "write it with its unit: 512MiB, 2GiB"),
    (f"version: 1\nserver: {{listen: '{'a' * 64}:1'}}", "2:18: a name of a host has 1 to 63"),
    ("version: 1\nserver: {listen: 'a..b:1'}", "2:18: a name of a host has 1 to 63"),
    ("version: 1\nmachine: {metrics: {listen: 9464}}", "2:29: this is no address"),
    ("version: 1\nmachine: {metrics: {listen: '127.0.0.1:0'}}", "2:29: nobody would know the po"),
    ("version: 1\nmachine: {metrics: {listen: '0.0.0.0:9464'}}", "2:29: everybody on the netw"),
    ("version: 1\nmachine: {metrics: {listen: 'a.b:9464'}}", "say 'insecure_http: true' beside"),
    ("version: 1\nmachine: {log: {level: debug}}", "2:24: this must be"),
    ("version: 1\nmachine: {log: {max_files: 1}}", "2:28: this must be at least 2"),
    ("version: 1\nmachine: {log: {max_size: 1kB}}", "it must be from 64KiB to 1TiB"),
    ("version: 1\nmachine: {log: {retain: 1m}}", "this is 1m; it must be from 1h to"),
    ("version: 1\nmachine: {log: {directory: /dev/null/x}}", "nothing can be written to /dev/nul"),
    ("version: 1\nmachine: {keep_jobs_on_stop: 1}", "2:30: this must be true or false"),
    ("version: 1\ndefaults: {name: x}", "2:12: unknown key 'name' in defaults"),
    ("version: 1\ndefaults: {token: x}", "2:12: unknown key 'token' in defaults"),
]
WORKER = [
    ("concurrency: 0", "4:18: this must be at least 1"),
    (f"concurrency: {SLOTS_MAX + 1}", "4:18: this must be at most 1,024"),
    ("concurrency: 1.5", "4:18: this must be a whole number"),
    ("concurrency: 99999999999999999999", "4:18: this must be a whole number"),
    ("concurrency: 012", None),
    ("concurrency: 1:30", "4:18: this must be a whole number"),
    ("enabled: no", "4:14: this must be true or false"),
    ("enabled: on", "4:14: this must be true or false"),
    ('enabled: "true"', "4:14: this must be true or false"),
    ("enabled: True", None),
    ("tags: a", "4:11: this must be a list"),
    ("tags: [1]", "4:12: this must be text"),
    ("tags: [-a]", "4:12: this is not written as a tag is"),
    ("tags: [no, on, yes]", None),
    ("tags: [a, b, a]", "4:11: 'a' is in the list twice"),
    ("tags:", None),
    ("kinds: []", "4:12: this list is empty; leave it out, or put something in it"),
    ("env: [A]", "4:10: this must be a mapping"),
    ("env: {A: 1}", "4:14: this must be text"),
    ("env: {A: }", "this must be text"),
    ("env: {A: yes}", None),
    ("env: {1A: x}", "4:11: this is no name of a variable"),
    ("env: {A=B: x}", "4:11: this is no name of a variable"),
    ("env: {ORCHESTRATOR_JOB_ID: x}", "4:11: names that begin with ORCHESTRATOR_"),
    ('env: {A: "\\0"}', "must not contain NUL"),
    ("env: {A: " + "x" * 70_000 + "}", "all variables together are 70,003 bytes; 65,536 are"),
    ("env_pass: ['A B']", "4:16: this is no name of a variable"),
    ("env_pass: ['*']", None),
    ("limits: {timeout: 1}", "4:23: this is no duration"),
    ("limits: {memory: 1MiB}", "this is 1MiB; it must be from 8MiB to 1TiB"),
    ("limits: {cpus: 0}", "4:20: this must be more than 0"),
    ("limits: {cpus: 1}", None),
    ("limits: {cpus: .inf}", "4:20: this must be a number"),
    ("limits: {pids: 0}", "4:20: this must be at least 1"),
    ("limits: {open_files: 1}", "4:26: this must be at least 16"),
    ("limits: {output: 1GiB}", "this is 1GiB; it must be from 1KiB to 64MiB"),
    ("limits: {nice: -5}", "4:20: this must be at least 0"),
    ("limits: {cpu: 1}", "unknown key 'cpu' in limits of worker 'w1': did you mean 'cpus'?"),
    ("kill_grace: 2h", "this is 2h; it must be from 0s to 1h"),
    ("cwd: web", "4:5: unknown key 'cwd' in worker 'w1': did you mean 'working_directory'?"),
    ("slots: 3", "4:5: unknown key 'slots' in worker 'w1': did you mean 'concurrency'?"),
    ("WORKING-DIRECTORY: x", "unknown key 'WORKING-DIRECTORY' in worker 'w1': did you mean"),
    ("x" * 80 + ": 1", "unknown key '" + "x" * 60 + "…'"),
]
STATE = [
    ({"working_directory": "gone"}, "there is no directory", "mkdir -p"),
    ({"working_directory": "x" * 300}, "cannot be looked at: file name too long", ""),
    ({"working_directory": "loop"}, "cannot be looked at: too many levels of symbolic links", ""),
    ({"working_directory": "workers.yaml/x"}, "there is no directory", "mkdir -p"),
    ({"working_directory": "workers.yaml"}, "is no directory", ""),
    ({"working_directory": "~nobody_of_that_name"}, "there is no user 'nobody_of_that_name'", ""),
    ({"working_directory": "${env:HOME}"}, "only ${HOME} and ~ stand for something", ""),
    ({"working_directory": ""}, "worker 'w1' has no working_directory", "~/Projects/web"),
    ({"server_url": ""}, "worker 'w1' has no server_url", "or in 'defaults'"),
    ({"server_url": "control.example.com"}, "it must begin with http:// or https://", ""),
    ({"server_url": "https://u:p@x"}, "holds a user name or password", ""),
    ({"server_url": "http://example.com"}, "plain http would show the token", "allow_insecure"),
    ({"token": ""}, "worker 'w1' has no token", "enrol the worker"),
    ({"token": "changeme"}, "this token is a placeholder", "machine_…:worker_…:secret_…"),
    ({"token": "machine_abc:worker_def:secret_xyz"}, "this token is a placeholder", ""),
    ({"token": "'machine_<id>:worker_<id>:secret_<secret>'"}, "this token is a placeholder", ""),
    ({"token": "machine_q:worker_q"}, "it has 2 parts between colons, not three", ""),
    ({"token": "a_1:b_2:c_3"}, "a part does not begin with machine_", ""),
    ({"token": "wak_" + "0" * 49}, "this is an API key and no worker's token", "enrolling"),
    ({"token": token(1)[:-1]}, "secret_ is followed by 48 characters, not 49", ""),
    ({"token": token(1)[:-1] + "!"}, "secret_ is followed by something else than letters", ""),
    ({"token": token(1).swapcase()}, "a part does not begin with machine_", ""),
    ({"token": token(1)[:-1] + "0"}, "a letter of it is wrong or in the wrong case", ""),
]


@pytest.mark.parametrize(("text", "told"), FILE)
def test_what_is_wrong_with_a_file(config: ConfigFolder, text: str, told: str) -> None:
    """The file is refused as a whole, with a sentence at the place of the mistake."""
    loaded = config.load(text + "\n")

    assert loaded.wanted is None
    assert told in words(loaded)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("workers:\n  api: {token: x}", "api"),
        ("workers:\n  token: x\n", "web"),
        ("workers: {secret_abc!: 1}", "web"),
        ("workers: {}", "web"),
    ],
)
def test_workers_in_a_mapping_are_shown_as_entries(
    config: ConfigFolder, text: str, name: str
) -> None:
    """What somebody who knows other tools writes is answered with how it is written here."""
    (problem,) = config.load(f"version: 1\n{text}\n").problems

    assert problem.message == "this must be a list"
    assert problem.hint == f"write '- name: {name}', and its keys below it, for each worker"


@pytest.mark.parametrize(("line", "told"), WORKER)
def test_what_is_wrong_with_a_key(config: ConfigFolder, line: str, told: str | None) -> None:
    """A key of a worker is refused at its value; what only looks odd is taken."""
    loaded = config.workers(config.worker(1).replace("\n", f"\n    {line}\n", 1))

    if told is None:
        assert words(loaded) == ""
    else:
        assert told in words(loaded)
        assert not loaded.ok


@pytest.mark.parametrize(("keys", "told", "hint"), STATE)
def test_what_keeps_one_worker_from_being_started(
    config: ConfigFolder, keys: dict[str, str], told: str, hint: str
) -> None:
    """The worker is left out with its problem, and the one after it runs."""
    (config.home / "loop").symlink_to("loop")

    loaded = config.workers(config.worker(1, **keys), config.worker(2))

    assert loaded.wanted is not None, words(loaded)
    assert [worker.name for worker in loaded.wanted.workers] == ["w2"]
    (parked,) = loaded.parked
    assert parked.name == "w1"
    assert told in parked.problems[0].message
    assert hint in str(parked.problems[0].hint)
    assert str(parked.place) == f"{config.path}:3:5"


def test_a_directory_of_somebody_else_keeps_its_worker_out(config: ConfigFolder) -> None:
    """What may not be looked at is told like everything else."""
    (config.home / "web").chmod(0)

    def look() -> None:
        closed = config.workers(config.worker(1), config.worker(2, working_directory="web/inner"))

        assert "may not be entered" in words(closed)
        assert "cannot be looked at: permission denied" in words(closed)

    as_anybody(look)
    (config.home / "web").chmod(0o700)


def test_a_worker_that_is_not_started_may_wait_for_its_directory(config: ConfigFolder) -> None:
    """It is warned of, and the worker is known as one that is kept for later."""
    loaded = config.workers(config.worker(1, working_directory="gone", enabled="false"))

    assert loaded.ok
    assert loaded.wanted is not None
    assert not loaded.wanted.workers[0].enabled
    assert ":5:24: warning: there is no directory" in words(loaded)


def test_two_workers_of_one_name_are_both_shown(config: ConfigFolder) -> None:
    """Nobody could say which one is meant, so the file is refused, with both lines."""
    loaded = config.workers(config.worker(1), config.worker(2, name="w1"))

    assert loaded.wanted is None
    assert f"{config.path}:7:11: another worker is called 'w1' as well" in words(loaded)
    assert f"  {config.path}:3:11: the first one is here\n      - name: w1\n" in words(loaded)


def test_two_workers_of_one_token_are_both_shown(config: ConfigFolder) -> None:
    """The first one runs, the other one waits, however each of them came to its token."""
    config.private("tokens/one", token(1))

    loaded = config.workers(
        config.worker(1), config.worker(2, token="${file:tokens/one}"), config.worker(3)
    )

    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers] == ["w1", "w3"]
    assert [parked.name for parked in loaded.parked] == ["w2"]
    assert f"{config.path}:8:12: this is the token of another worker" in words(loaded)
    assert f"{config.path}:4:12: the first one is here" in words(loaded)


def test_one_worker_may_be_known_to_two_servers(config: ConfigFolder) -> None:
    """The same token at two servers is two workers."""
    loaded = config.workers(
        config.worker(1), config.worker(2, token=token(1), server_url="https://other.example.com")
    )

    assert loaded.ok, words(loaded)


def test_what_defaults_say_wrongly_is_told_once(config: ConfigFolder) -> None:
    """It stops every worker that does not say otherwise, and is one problem, at its place."""
    loaded = config.load(
        "version: 1\ndefaults: {working_directory: gone}\nworkers:\n"
        + config.worker(1, working_directory="")
        + config.worker(2, working_directory="")
        + config.worker(3)
    )

    assert [problem.place[1:] for problem in loaded.problems] == [(2, 31)]
    assert [parked.name for parked in loaded.parked] == ["w1", "w2"]
    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers] == ["w3"]


def test_an_old_name_is_taken_with_a_warning(config: ConfigFolder) -> None:
    """A file of an older system works as it is, and says what to rename."""
    loaded = config.workers(
        config.worker(1, server_url="", convex_url="https://old.example.com"),
        config.worker(2, convex_url="https://old.example.com"),
    )

    assert loaded.ok
    assert loaded.wanted is not None
    urls = [worker.identity.server_url for worker in loaded.wanted.workers]
    assert urls == ["https://old.example.com", "https://control.example.com"]
    assert ":6:17: warning: convex_url is the old name of server_url" in words(loaded)
    assert "remove it: server_url counts" in words(loaded)


def test_a_kind_that_no_worker_has_is_warned_of(config: ConfigFolder) -> None:
    """With what was meant, if that can be seen; the worker runs with the others."""
    loaded = config.workers(config.worker(1, kinds="[command, Dellay, zzz]"))

    assert loaded.ok
    assert (
        ":7:22: warning: no worker of this version has the kind 'Dellay': did you mean 'delay'?"
        in (words(loaded))
    )
    assert ":7:30: warning: no worker of this version has the kind 'zzz'\n" in words(loaded)
    assert "there are: command, delay" in words(loaded)


def test_a_tag_that_is_built_in_is_warned_of(config: ConfigFolder) -> None:
    """What a worker has by what it is, no file gives it; the worker runs with the others."""
    worker = config.worker(1, tags="[windows, build]")
    loaded = config.load(f"version: 1\nmachine: {{tags: [cuda=12, arch=z80]}}\nworkers:\n{worker}")

    assert loaded.ok
    assert ":2:27: warning: the tag 'arch=z80' is not believed: what a worker has of arch is" in (
        words(loaded)
    )
    assert ":8:12: warning: the tag 'windows' is not believed" in words(loaded)
    assert [problem.code for problem in loaded.problems] == ["built-in-tag"] * 2


def test_more_jobs_than_the_machine_runs_are_warned_of(config: ConfigFolder) -> None:
    """At the line of the worker that would have them; the number of processors is no matter."""
    worker = config.worker(1, concurrency="1000")
    loaded = config.load(f"version: 1\nmachine: {{max_jobs: 3}}\nworkers:\n{worker}")

    assert loaded.ok
    assert ":8:18: warning: at most 3 of these 1,000 ever run at once" in words(loaded)
    assert config.workers(worker).problems == ()


def test_spaces_around_a_token_are_forgiven(config: ConfigFolder) -> None:
    """What came along when a token was copied is ignored, with a warning."""
    loaded = config.workers(config.worker(1, token=f'" {token(1)}\\n"'))

    assert loaded.ok
    assert loaded.wanted is not None
    assert loaded.wanted.workers[0].token == token(1)
    assert "4:12: warning: there are spaces or line ends around the token" in words(loaded)


def test_only_the_embedded_server_enrols_by_itself(config: ConfigFolder) -> None:
    """There a token may be left out, but then the worker needs a name to be known by."""
    server = "version: 1\nserver: {embedded: true, listen: '127.0.0.1:9000'}\nworkers:\n"
    plain = {"token": "", "server_url": ""}

    named = config.load(server + config.worker(1, **plain))
    by_url = config.load(server + config.worker(1, token="", server_url="http://localhost:9000"))
    nameless = config.load(server + config.worker(1, name="", **plain))
    elsewhere = config.load(server + config.worker(1, token=""))

    for loaded in (named, by_url):
        assert loaded.wanted is not None
        assert [worker.identity.server_url for worker in loaded.wanted.workers] == [""]
    assert ":4:5: a worker without a token needs a name" in words(nameless)
    assert ":4:5: worker 'w1' has no token" in words(elsewhere)


def test_a_name_is_the_id_where_none_is_said(config: ConfigFolder) -> None:
    """Every worker has a name by which people can speak of it."""
    loaded = config.workers(config.worker(1, name=""))

    assert loaded.wanted is not None
    assert loaded.wanted.workers[0].name == token(1).split(":")[1]


def test_env_and_limits_are_joined_key_by_key(config: ConfigFolder) -> None:
    """What a worker says adds to what is said for all; other values replace it."""
    loaded = config.load(
        "version: 1\n"
        "machine: {tags: [here, oak]}\n"
        "defaults: {env: {A: '1', B: '2'}, limits: {nice: 5, pids: 9}, tags: [x], env_pass: [P]}\n"
        "workers:\n"
        + config.worker(1, env="{B: '3', C: '4'}", limits="{pids: 7}", tags="[y, oak]")
        + config.worker(2)
    )

    assert loaded.wanted is not None, words(loaded)
    one, two = loaded.wanted.workers
    assert one.env == {"A": "1", "B": "3", "C": "4"}
    assert (one.limits.nice, one.limits.pids) == (5, 7)
    assert one.tags == ("here", "oak", "y")
    assert two.tags == ("here", "oak", "x")
    assert one.env_pass == ("P",)


def test_anchors_and_merges_are_understood(config: ConfigFolder) -> None:
    """What YAML offers against repetition works, and a merged key gives way to one that is said."""
    loaded = config.load(
        "version: 1\nworkers:\n"
        + config.worker(1).replace("  - ", "  - &one\n    ", 1)
        + f"  - <<: *one\n    name: w2\n    token: {token(2)}\n"
    )

    assert loaded.ok, words(loaded)
    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers] == ["w1", "w2"]


def test_too_many_tags_with_the_machines(config: ConfigFolder) -> None:
    """The server takes 64 tags of a worker, its machine's among them."""
    tags = [f"t{number}" for number in range(64)]

    loaded = config.load(
        "version: 1\nmachine: {tags: [one-more]}\nworkers:\n"
        + config.worker(1, tags=f"[{', '.join(tags)}]")
    )

    assert "with the machine's these are 65 tags; 64 are allowed" in words(loaded)


def test_a_share_of_the_disk_becomes_bytes(config: ConfigFolder) -> None:
    """A tenth of the disk on which the state is, is a number of bytes for whoever compares."""
    loaded = config.load("version: 1\nserver: {}\nmachine: {disk: {min_free: 10%}}\n")

    assert loaded.wanted is not None
    assert loaded.wanted.min_free_bytes is not None
    assert loaded.wanted.min_free_bytes > 1000
