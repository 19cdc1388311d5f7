"""A file as people write it becomes what is wanted of the machine."""

from pathlib import Path

import pytest

from orchestrator.supervisor.logic.wanted import WorkerIdentity
from tests.support.configs import ConfigFolder, token, words

MANUAL = """\
# yaml-language-server: $schema=./workers.schema.json
version: 1
server:                                    # omit when the server runs elsewhere
  embedded: true
  listen: 127.0.0.1:8700
machine: {max_jobs: auto, tags: [here], drain_timeout: 10m, keep_jobs_on_stop: false}
defaults: {server_url: https://control.example.com}
workers:
  - name: web
    token: ${file:~/tokens/web}     # also ${env:…} ${cmd:…} ${cred:…}, or the literal triple
    working_directory: ~/web
    concurrency: 2
    tags: [node, build]
    kinds: [command, code-generation]
    limits: {timeout: 1h, memory: 2GiB, output: 64MiB}
  - name: local
    server_url: http://127.0.0.1:8700
    working_directory: web
"""


def test_the_example_of_the_manual_is_loaded(config: ConfigFolder) -> None:
    """Every key of it reaches the worker, resolved: paths are absolute, units are gone."""
    config.private("tokens/web", token(1) + "\n")

    loaded = config.load(MANUAL)

    # One of its kinds is of a later version.
    assert [problem.code for problem in loaded.problems] == ["unknown-kind"]
    assert loaded.wanted is not None
    assert loaded.wanted.server is not None
    assert (loaded.wanted.server.host, loaded.wanted.server.port) == ("127.0.0.1", 8700)
    web, local = loaded.wanted.workers
    machine_id, worker_id, _ = token(1).split(":")
    assert web.identity == WorkerIdentity("https://control.example.com", machine_id, worker_id)
    assert web.token == token(1)
    assert web.working_directory == config.home / "web"
    assert web.tags == ("here", "node", "build")
    assert web.concurrency == 2
    assert web.kinds == ("command", "code-generation")
    assert (web.limits.timeout_s, web.limits.memory_bytes) == (3600.0, 2**31)
    assert str(web.place) == f"{config.path}:9:5"
    assert local.identity == WorkerIdentity("", "", "")
    assert local.token is None


def test_what_it_read_is_told_and_what_is_secret_is_known(config: ConfigFolder) -> None:
    """A changed token file is a change, and a secret can be kept out of every log."""
    path = config.private("tokens/web", token(1) + "\n")

    loaded = config.load(MANUAL)

    assert loaded.files == (Path(path),)
    assert token(1) in loaded.secrets
    assert token(1).rpartition(":")[2] in loaded.secrets
    assert "secret_" not in repr(loaded)


def test_one_bad_worker_does_not_stop_the_others(config: ConfigFolder) -> None:
    """What is wrong with one worker leaves that one out, and says in which line."""
    loaded = config.workers(
        config.worker(1), config.worker(2, working_directory="gone"), config.worker(3)
    )

    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers] == ["w1", "w3"]
    assert [parked.name for parked in loaded.parked] == ["w2"]
    assert f"{config.path}:9:24: there is no directory {config.home}/gone" in words(loaded)


def test_everything_that_is_wrong_is_told_at_once(config: ConfigFolder) -> None:
    """Five mistakes are five problems, each in its line, in the order of the file."""
    loaded = config.load(
        "version: 2\n"
        "machine: {max_jobs: 0, drain_timeot: 5m}\n"
        "workers:\n"
        "  - name: Web\n"
        "    working_directry: ~/web\n"
        "    enabled: no\n"
        "    enabled: yes\n"
    )

    assert loaded.wanted is None
    assert [(problem.place.line, problem.code) for problem in loaded.problems] == [
        (1, "value"),
        (2, "value"),
        (2, "unknown-key"),
        (4, "value"),
        (5, "unknown-key"),
        (6, "value"),
        (7, "duplicate-key"),
    ]
    assert (
        f"{config.path}:5:5: unknown key 'working_directry' in worker 'Web': "
        "did you mean 'working_directory'?\n"
        "        working_directry: …\n"
        "        ^\n" in words(loaded)
    )


def test_logs_of_workers_are_apart_from_those_of_the_programs(
    config: ConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is called `server` writes into no file of the server's."""
    monkeypatch.setenv("ORCHESTRATOR_LOG_DIR", str(config.home))
    text = "version: 1\nworkers:\n" + config.worker(name="server")
    wanted = config.load(text).wanted
    assert wanted is not None
    assert wanted.log.directory == config.home / "workers"

    told = words(config.load(f"{text}machine: {{log: {{directory: {config.home}}}}}\n"))

    assert f"keep their own logs in {config.home}" in told
    assert f"such as {config.home}/workers" in told
