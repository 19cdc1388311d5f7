"""Values that stand elsewhere: followed where they may be, and never shown."""

import os
import signal
import time
from pathlib import Path

import pytest

from orchestrator.supervisor.config.places import Folders
from orchestrator.supervisor.config.references import References, Unresolved
from tests.support.configs import ConfigFolder, token, words
from tests.support.waiting import wait_until

REFUSED = [
    ("${file:tokens/none}", "tokens/none is not there"),
    ("${file:tokens}", "tokens is a directory"),
    ("${file:loose}", "other users can read"),
    ("${file:empty}", "empty is empty"),
    ("${file:binary}", "is not UTF-8 text"),
    ("${file:nul}", "holds the character NUL"),
    ("${file:large}", "is longer than 65,536 bytes"),
    ("${file:}", "${file:} says nothing after its colon"),
    ("${file:~nobody_of_that_name/x}", "there is no user 'nobody_of_that_name'"),
    ("${env:NONE}", "the variable NONE is not set for the orchestrator"),
    ("${env:BLANK}", "the variable BLANK is not set for the orchestrator"),
    ("${cmd:false}", "false ended with exit code 1"),
    ("${cmd:no-such-program}", "no-such-program cannot be started: "),
    ("${cmd:sh -c 'kill -9 $$'}", "sh ended with exit code -9"),
    ("${cmd:true}", "what true printed is empty"),
    ("${cmd:head -c 70000 /dev/zero}", "the command printed more than 65,536 bytes"),
    ("${cmd:echo 'open}", "the command cannot be split: no closing quotation"),
    ("${cred:web}", "no credentials were passed by systemd"),
    ("${HOME}", "this is no reference that is known"),
    ("${vault:x}", "this is no reference that is known"),
    ("${file:tokens/web", "a '${' is never closed by a '}'"),
]


@pytest.fixture
def folder(config: ConfigFolder) -> ConfigFolder:
    """Give a folder with files that cannot be used."""
    config.private("tokens/web", token(1) + "\n")
    config.private("loose", "planted-secret-1", 0o644)
    config.private("empty", "\n")
    config.private("binary", b"\xff\xfe")
    config.private("nul", "a\0b")
    config.private("large", "x" * 70_000)
    config.environ["BLANK"] = " "
    return config


def _references(config: ConfigFolder, **more: str) -> References:
    environ = config.environ | more
    return References(Folders(config.home, environ), environ, command_s=0.3)


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_a_reference_that_leads_nowhere(folder: ConfigFolder, text: str, told: str) -> None:
    """The worker waits, and what is wrong is said at its token, without what was read."""
    loaded = folder.workers(folder.worker(1, token=f'"{text}"'), folder.worker(2))

    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers] == ["w2"]
    assert told in loaded.parked[0].problems[0].message
    assert loaded.problems[0].place[1:] == (4, 12)
    assert "planted" not in words(loaded)


def test_references_are_followed_in_tokens_and_variables(folder: ConfigFolder) -> None:
    """Each kind leads to its value, also within a longer text, and `$${` stands for itself."""
    folder.environ["CREDENTIALS_DIRECTORY"] = str(folder.home / "tokens")
    folder.environ["PLACE"] = "here"

    loaded = folder.workers(
        folder.worker(1, token="${cred:web}"),
        folder.worker(
            2,
            token=f"${{cmd:echo {token(2)}}}",
            env="{A: 'x-${env:PLACE}-${env:PLACE}', B: '$${amount}', C: '${cmd:echo a b}'}",
        ),
    )

    assert loaded.ok, words(loaded)
    assert loaded.wanted is not None
    one, two = loaded.wanted.workers
    assert one.token == token(1)
    assert two.env == {"A": "x-here-here", "B": "${amount}", "C": "a b"}


def test_a_variable_that_is_no_text_is_told(folder: ConfigFolder) -> None:
    """What the system passes on is bytes, and not all bytes are text."""
    folder.environ["BYTES"] = os.fsdecode(b"planted-\xff")

    loaded = folder.workers(folder.worker(1, env="{A: '${env:BYTES}'}"))

    assert "the variable BYTES is not UTF-8 text" in words(loaded)
    assert "planted" not in words(loaded)


def test_a_reference_elsewhere_is_no_reference(folder: ConfigFolder) -> None:
    """A path that looks like one is told so, and nothing is read."""
    loaded = folder.workers(folder.worker(1, working_directory="'${file:tokens/web}'"))

    assert "only ${HOME} and ~ stand for something in a path" in words(loaded)
    assert loaded.files == ()


def test_a_command_is_given_to_no_shell(folder: ConfigFolder) -> None:
    """What a shell would do something with is an argument like any other."""
    references = _references(folder)

    assert references.resolve("${cmd:echo $HOME; ls > x | cat}") == "$HOME; ls > x | cat"
    assert not (folder.home / "x").exists()


def test_a_command_that_hangs_is_ended_with_all_that_it_started(folder: ConfigFolder) -> None:
    """After its time it is killed, and whatever it left in its group with it."""
    pid_file = folder.home / "pid"
    references = _references(folder)

    begin = time.monotonic()
    with pytest.raises(Unresolved) as caught:
        references.resolve(f"${{cmd:sh -c 'sleep 60 & echo $! > {pid_file}; wait'}}")

    assert time.monotonic() - begin < 10
    assert "was not done after 0.3 s" in caught.value.message
    pid = int(pid_file.read_text())
    wait_until(lambda: not _runs(pid), timeout_s=5)


def test_a_command_that_leaves_something_running_is_not_waited_for(folder: ConfigFolder) -> None:
    """What keeps the output open after the program has ended is killed at the end of the time."""
    with pytest.raises(Unresolved):
        _references(folder).resolve("${cmd:sh -c 'sleep 60 & echo x'}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_a_command_runs_once_for_all_who_name_it(folder: ConfigFolder) -> None:
    """Ten workers with one password manager entry ask it once for each load."""
    counter = folder.home / "counter"
    folder.private("count.sh", f"#!/bin/sh\necho x >> {counter}\necho value\n", 0o700)
    env = "{A: '${cmd:./count.sh}', B: 'b${cmd:./count.sh}'}"

    loaded = folder.workers(*(folder.worker(number, env=env) for number in range(5)))

    assert loaded.ok, words(loaded)
    assert counter.read_text() == "x\n"


def test_a_name_of_a_credential_leads_out_of_no_folder(folder: ConfigFolder) -> None:
    """Only what systemd passed is a credential."""
    references = _references(folder, CREDENTIALS_DIRECTORY=str(folder.home / "tokens"))

    for name in ("../loose", "/etc/passwd", ".."):
        with pytest.raises(Unresolved, match="this is no name of a credential"):
            references.resolve(f"${{cred:{name}}}")


def test_env_files_are_read_line_by_line(folder: ConfigFolder) -> None:
    """What is in the file reaches the jobs as it stands; what is said here counts more."""
    folder.private("jobs.env", "# words\nA=1\nexport B='two words'\nC=$A\nEMPTY=\n")

    loaded = folder.workers(folder.worker(1, env_file="jobs.env", env="{A: mine}"))

    assert loaded.ok, words(loaded)
    assert loaded.wanted is not None
    assert loaded.wanted.workers[0].env == {
        "A": "mine",
        "B": "two words",
        "C": "$A",
        "EMPTY": "",
    }
    assert loaded.files == (folder.home / "jobs.env",)


def test_a_line_that_is_none_is_told_with_its_number(folder: ConfigFolder) -> None:
    """Each of them, in the file of variables and in its own line, without what it says."""
    folder.private("jobs.env", "A=1\n\nplanted secret\nORCHESTRATOR_X=1\n9=planted\n")

    loaded = folder.workers(folder.worker(1, env_file="jobs.env"))

    path = folder.home / "jobs.env"
    assert f"{path}:3: this is no NAME=VALUE" in words(loaded)
    assert f"{path}:4: names that begin with ORCHESTRATOR_" in words(loaded)
    assert f"{path}:5: this is no NAME=VALUE" in words(loaded)
    assert "planted" not in words(loaded)


def test_an_env_file_that_others_can_read_is_warned_of(folder: ConfigFolder) -> None:
    """Most of them hold nothing secret, so the worker runs."""
    folder.private("jobs.env", "A=1\n", 0o644)

    loaded = folder.workers(folder.worker(1, env_file="jobs.env"))

    assert loaded.ok
    assert f"warning: other users can read {folder.home / 'jobs.env'}" in words(loaded)


@pytest.mark.parametrize("content", ["A=\xff".encode("latin-1"), b"A=" + b"x" * 300_000])
def test_an_env_file_that_is_none_keeps_its_worker_out(
    folder: ConfigFolder, content: bytes
) -> None:
    """What cannot be read as text, or is too large, is told at the key that names it."""
    folder.private("jobs.env", content)

    loaded = folder.workers(folder.worker(1, env_file="jobs.env"))

    assert [problem.place[1:] for problem in loaded.problems] == [(7, 15)]
    assert loaded.parked
