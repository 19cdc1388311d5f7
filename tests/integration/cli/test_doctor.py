"""`orchestrator doctor` without an orchestrator: what is really wrong is told with its remedy."""

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from orchestrator.kernel.files import Lock
from tests.integration.cli.doctors import ASKED, HEALTH, Doctor, install
from tests.support.configs import token
from tests.support.fake_api import Reply, answer, fake_api, problem
from tests.support.processes import plain_user


def test_a_good_machine_is_well(doctor: Doctor) -> None:
    """The exit code is 0, and a person reads so; each server and token was really asked."""
    told = doctor.cli("doctor", str(doctor.config.path))

    assert told.returncode == 0, told.stdout.decode()
    assert b"PROBLEM" not in told.stdout
    assert ("ok", "1 known to the server") in doctor.said("token")
    assert doctor.said("server")[0][1].startswith(f"{doctor.fake.url} (w1) answers")
    assert {asked.path for asked in doctor.fake.asked} == {ASKED, HEALTH}
    assert all("authorization" not in it.headers for it in doctor.fake.asked if it.path == HEALTH)


def test_a_missing_directory_is_told_with_the_command(doctor: Doctor) -> None:
    """As `check` says it; done, it is well again."""
    doctor.write(doctor.worker(working_directory="gone"))

    (found,) = doctor.problems()

    assert found["check"] == "configuration"
    assert "there is no directory" in found["seen"]
    assert f"mkdir -p {doctor.config.home}/gone" in found["remedy"]
    (doctor.config.home / "gone").mkdir()
    assert doctor.problems() == []


def test_a_refused_token_names_its_worker(doctor: Doctor) -> None:
    """And the place where it stands."""
    doctor.write(doctor.worker(1), doctor.worker(2))

    (found,) = doctor.problems()

    assert (found["check"], "w2" in found["seen"]) == ("token", True)
    assert f"{doctor.config.path}:7:5" in found["remedy"]
    assert "secret_" not in json.dumps(doctor.looks())


def test_a_wrong_clock_is_told_with_its_distance(doctor: Doctor) -> None:
    """By what the server says of the time."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    date = format_datetime(long_ago, usegmt=True)
    doctor.fake.on("GET", HEALTH, Reply(200, b"{}", {"date": date}))

    (found,) = doctor.problems()

    assert (found["check"], "ahead of" in found["seen"]) == ("clock", True)
    assert "timedatectl" in found["remedy"]


def test_how_far_one_gets_to_a_server(doctor: Doctor) -> None:
    """Its name, its port, its encryption, and whether it is one of ours."""
    port = doctor.fake.url.rpartition(":")[2]
    servers = {
        "https://no-such-name.invalid": "leads nowhere",
        "http://127.0.0.1:1": "connection refused",
        f"https://127.0.0.1:{port}": "its encryption is refused",
        f"http://127.0.0.1:{port}/elsewhere": "is answered with",
    }
    doctor.write(*(doctor.worker(n, server_url=url) for n, url in enumerate(servers)))

    found = [each["seen"] for each in doctor.problems() if each["check"] == "server"]

    assert len(found) == len(servers)
    for (url, why), seen in zip(servers.items(), found, strict=True):
        assert seen.startswith(url), found
        assert why in seen, found


def test_a_certificate_is_looked_at(doctor: Doctor, tmp_path: Path) -> None:
    """Nobody vouches for it; somebody does, and it ends soon."""
    key, certificate = tmp_path / "key", tmp_path / "crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-days", "3"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with fake_api(context) as fake:
        fake.on("GET", HEALTH, answer({"ok": True}))
        fake.on("GET", ASKED, problem(404, "not_found", "there is no session"))
        doctor.write(doctor.worker(server_url=fake.url))

        (refused,) = doctor.problems()
        trusted = doctor.said("server", {"SSL_CERT_FILE": str(certificate)})

    assert "its encryption is refused: self-signed certificate" in refused["seen"]
    assert "openssl s_client -connect 127.0.0.1:" in refused["remedy"]
    assert [grade for grade, _ in trusted] == ["ok", "warning"]
    assert "answers over TLS" in trusted[0][1]
    assert trusted[1][1].endswith("ends in 3 days")


def test_open_and_foreign_files_are_told(doctor: Doctor) -> None:
    """Each with the command; they hold tokens, and a start would refuse them."""
    doctor.state.mkdir(parents=True, mode=0o700)
    doctor.state.chmod(0o755)
    (doctor.state / "last-good.json").write_text("{}")
    (doctor.state / "last-good.json").chmod(0o640)

    remedies = [each["remedy"] for each in doctor.problems()]
    for remedy in remedies:
        subprocess.run(remedy, shell=True, check=True)

    assert remedies == [
        f"chmod 700 {doctor.state}",
        f"chmod 600 {doctor.state}/last-good.json",
    ]
    assert doctor.problems() == []


def test_a_directory_that_cannot_be_written_is_a_warning(doctor: Doctor) -> None:
    """A job may be meant to read only; it is told, and the exit code is 0."""
    (doctor.config.home / "web").chmod(0o500)
    user = plain_user()

    done = subprocess.run(
        [*user, "python3", "-c", "import os; print(os.access('.', os.W_OK))"],
        cwd=doctor.config.home / "web", capture_output=True, check=False,
    )  # fmt: skip
    if done.stdout.strip() != b"False":
        pytest.skip("this user may write everywhere")
    doctor.cli.program = (*user, *doctor.cli.program)

    assert [grade for grade, _ in doctor.said("directories")] == ["warning"]


def test_a_folder_that_may_not_be_entered_is_not_there(doctor: Doctor) -> None:
    """A PATH may name what its user must not see; that is no fault of anybody."""
    closed = doctor.cli.folder / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0)
    doctor.cli.program = (*plain_user(), *doctor.cli.program)
    try:
        path = f"{closed}/bin:{os.environ['PATH']}"
        install(doctor, path)

        said = doctor.said("path", {"PATH": path})
    finally:
        closed.chmod(0o700)

    assert said[0][0] == "ok"


def test_a_token_file_that_others_read_is_told(doctor: Doctor) -> None:
    """By the mode that it has, with the chmod."""
    doctor.config.private("tokens/w1", token(1), 0o644)
    doctor.write(doctor.worker(token="${file:tokens/w1}"))

    (found,) = doctor.problems()

    assert "other users can read" in found["seen"]
    assert f"chmod 600 {doctor.config.home}/tokens/w1" in found["remedy"]


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Give somebody else who listens on a port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_port_that_somebody_has_is_told(doctor: Doctor, stranger: socket.socket) -> None:
    """Before the server meets it."""
    listen = f"127.0.0.1:{stranger.getsockname()[1]}"
    doctor.write(doctor.worker(), more=f"server: {{listen: '{listen}'}}\n")

    (found,) = doctor.problems()

    assert (found["check"], listen in found["seen"]) == ("port", True)


def test_too_little_room_is_told(doctor: Doctor) -> None:
    """By what the configuration asks for."""
    doctor.write(doctor.worker(), more="machine: {disk: {min_free: 100TiB}}\n")

    (found,) = doctor.problems()

    assert (found["check"], "102400.0 GiB are needed" in found["seen"]) == ("disk", True)


def test_limits_of_a_shell_are_those_of_what_it_starts(doctor: Doctor) -> None:
    """With few open files, as many slots cannot work; it is said that this is the shell's limit."""
    doctor.write(doctor.worker(concurrency="300"))
    bash = shutil.which("bash")
    assert bash is not None
    limited = (bash, "-c", 'ulimit -n 200; exec "$@"', "sh")
    doctor.cli.program = (*limited, *doctor.cli.program)

    (found,) = doctor.problems()

    assert found["check"] == "open_files"
    assert "200 files" in found["seen"]
    assert "if it is started from this shell" in found["seen"]


def test_a_lock_that_nobody_answers_for_is_told(doctor: Doctor) -> None:
    """It begins or ends, as far as can be seen; looking takes no lock."""
    doctor.state.mkdir(parents=True, mode=0o700)
    doctor.state.parent.chmod(0o700)

    with Lock(doctor.state / "lock").take("a test"):
        said = doctor.said("orchestrator")
    free = doctor.said("orchestrator")

    why = f"pid {os.getpid()} has the lock of {doctor.state} and does not listen: it begins or ends"
    assert said == [("warning", why)]
    assert free[0][0] == "unseen"


def test_a_socket_that_was_left_behind_is_told(doctor: Doctor) -> None:
    """The next start replaces it."""
    doctor.state.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(doctor.state / "control.sock"))

    assert [grade for grade, _ in doctor.said("orchestrator")] == ["warning"]


def test_a_package_that_is_too_old_is_told(doctor: Doctor, tmp_path: Path) -> None:
    """By what the installation says that it needs; older ones have known holes."""
    old = tmp_path / "old/h11-0.9.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: h11\nVersion: 0.9.0\n")

    (found,) = doctor.problems(env={"PYTHONPATH": str(old.parent)})

    assert (found["check"], found["seen"]) == (
        "packages",
        "h11 0.9.0 is installed; 0.16 or newer is needed",
    )


def test_a_unit_of_another_version_is_told(doctor: Doctor) -> None:
    """Line by line, also where no service manager runs; a stop must leave time for a drain."""
    file = install(doctor, os.environ["PATH"], drain_timeout_s=30.0)
    assert ("ok", f"{file} is what this version writes") in doctor.said("unit")
    (late,) = doctor.problems()
    assert "a stop ends everything after 90 s, and jobs may drain for 600 s" in late["seen"]

    file.write_text(file.read_text().replace("KillMode=process", "KillMode=control-group"))

    (odd, _) = doctor.said("unit")
    assert odd[0] == "warning"
    assert "KillMode=process is missing" in odd[1]
