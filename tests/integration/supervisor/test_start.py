"""How a local run comes up, the first time and later."""

import json
import os
import socket
import stat
from pathlib import Path

from tests.integration.supervisor.runs import run
from tests.support.installation import free_port
from tests.support.waiting import wait_until


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_enrols_the_worker_by_itself(tmp_path: Path) -> None:
    """Nothing is typed: the token is written for its owner alone, and the worker is told where."""
    with run(tmp_path) as here:
        here.wait_until_ready()

        token = tmp_path / "data/workers/local/token"
        assert token.read_text().startswith("machine_")
        assert [_mode(token), _mode(token.parent), _mode(tmp_path / "data")] == [
            0o600,
            0o700,
            0o700,
        ]
        told = here.told()
        assert told.pop("server_url").startswith("http://127.0.0.1:")
        assert told == {
            "name": "local",
            "token_file": str(token),
            "working_directory": str(tmp_path),
            "state_dir": str(here.state),
            "slots": 2,
            "tags": ["a-tag"],
        }


def test_the_command_line_finds_the_server(tmp_path: Path) -> None:
    """The connection file names the address and the key's file, for its owner alone."""
    with run(tmp_path) as here:
        here.wait_until_ready()

        [path] = (tmp_path / "state/orchestrator/connections").iterdir()
        connection = json.loads(path.read_text())
        assert _mode(path) == 0o600
        assert connection["url"] == here.told()["server_url"]
        assert Path(connection["api_key_file"]).read_text() == "pak_of_the_test\n"
        assert connection["url"] in here.process.stdout
        assert connection["data_dir"] == str(tmp_path / "data")
        assert connection["pid"] == here.process.pid
        here.process.signal(2)
        assert here.process.wait() == 0
    assert not path.exists()


def test_two_data_directories_have_two_connection_files(tmp_path: Path) -> None:
    """The second run overwrites nothing, and its end takes nothing away."""
    (tmp_path / "second").mkdir()
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    folder = tmp_path / "state/orchestrator/connections"
    with run(tmp_path) as first:
        first.wait_until_ready()
        [path] = folder.iterdir()
        before = path.read_text()
        with run(tmp_path / "second", more=state) as second:
            second.wait_until_ready()
            assert len(list(folder.iterdir())) == 2
            second.process.signal(2)
            assert second.process.wait() == 0

        assert list(folder.iterdir()) == [path]
        assert path.read_text() == before


def test_the_files_of_killed_runs_are_swept_up(tmp_path: Path) -> None:
    """Nobody else would: those of runs that go on stay, as do those that nobody understands."""
    (tmp_path / "second").mkdir()
    folder = tmp_path / "state/orchestrator/connections"
    with run(tmp_path) as first:
        first.wait_until_ready()
        [path] = folder.iterdir()
        known = json.loads(path.read_text())
        for name, content in (
            ("killed", json.dumps(known | {"started": known["started"] - 1})),
            ("rebooted", json.dumps(known | {"boot": "another"})),
            ("damaged", "{"),
        ):
            (folder / f"{name}.json").write_text(content)
            (folder / f"{name}.json").chmod(0o600)

        with run(tmp_path / "second", more={"XDG_STATE_HOME": str(tmp_path / "state")}) as second:
            second.wait_until_ready()

            names = {file.name for file in folder.iterdir()}
            assert path.name in names
            assert "damaged.json" in names
            assert len(names) == 3


def test_a_connection_file_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    """It ends with 73 and names the place, and leaves nothing running."""
    (tmp_path / "state/orchestrator").mkdir(parents=True)
    (tmp_path / "state/orchestrator").chmod(0o700)
    (tmp_path / "state/orchestrator/connections").touch()
    with run(tmp_path) as here:
        assert here.process.wait() == 73

    assert "connections" in here.process.stderr
    assert "server heard the end" in here.journal()


def test_the_second_start_enrols_nobody(tmp_path: Path) -> None:
    """The token of the first start is used again."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        here.process.signal(2)
        assert here.process.wait() == 0

    with run(tmp_path) as here:
        here.wait_until_ready()

    enrolled = [line for line in here.journal() if line.startswith("enrolled")]
    assert len(enrolled) == 1


def test_a_known_worker_starts_beside_its_server(tmp_path: Path) -> None:
    """Its address is ours from the beginning: whoever calls waits until the server answers."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        here.process.signal(2)
        assert here.process.wait() == 0
    late = tmp_path / "data/server/late"
    os.mkfifo(late)

    with run(tmp_path) as here:
        here.wait_for("worker ready", count=2)
        assert sum(line.startswith("server ready") for line in here.journal()) == 1
        late.write_text("now")
        here.wait_until_ready()


def test_a_refused_token_is_replaced(tmp_path: Path) -> None:
    """A worker that ends because its token is refused gets a new one, as the same worker."""
    with run(tmp_path) as here:
        (here.state / "exit-code").write_text("77")

        here.wait_until_ready()

    first, second = (line for line in here.journal() if line.startswith("enrolled"))
    assert first == second


def test_a_second_run_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """It ends with 5, names the first, and does not disturb it."""
    with run(tmp_path) as first:
        first.wait_until_ready()
        with run(tmp_path) as second:
            assert second.process.wait() == 5

            assert f"pid {first.process.pid}" in second.process.stderr
        assert first.process.returncode is None


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """It ends with 73, names the address and what to do, and starts nothing."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with run(tmp_path, port=port) as here:
            assert here.process.wait() == 73

    assert f"127.0.0.1:{port}" in here.process.stderr
    assert "--listen" in here.process.stderr
    assert here.journal() == []


def test_a_port_that_becomes_free_is_taken(tmp_path: Path) -> None:
    """The server of a killed run may need a moment to leave: the next run waits for it."""
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    with run(tmp_path, port=busy.getsockname()[1]) as here:
        wait_until((tmp_path / "data/lock").exists)
        busy.close()

        here.wait_until_ready()


def test_a_server_that_cannot_start_ends_the_run_with_its_code(tmp_path: Path) -> None:
    """When somebody has to mend something, nothing is repeated and no worker is started."""
    (tmp_path / "data/server").mkdir(parents=True)
    (tmp_path / "data/server/exit-code").write_text("78")
    with run(tmp_path) as here:
        assert here.process.wait() == 78

    assert "child.parked" in here.process.stderr
    assert here.journal() == []


def test_a_worker_that_cannot_start_ends_the_run_with_its_code(tmp_path: Path) -> None:
    """Then the server is stopped in order, too."""
    with run(tmp_path) as here:
        (here.state / "exit-code").write_text("78")

        assert here.process.wait() == 78

    assert here.journal()[-2:] == ["worker ends with 78", 'server heard {"do": "stop"}']


def test_the_same_port_is_kept_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """Whoever learned the address of a free port still finds the server there."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        url = here.told()["server_url"]

        os.kill(here.pid_of("small_server"), 9)

        here.wait_for("server ready", count=2)
        assert here.journal().count(f"server ready on {url.removeprefix('http://')}") == 2


def test_a_given_port_is_used(tmp_path: Path) -> None:
    """The address is the one that was asked for."""
    port = free_port()
    with run(tmp_path, port=port) as here:
        here.wait_until_ready()

        assert f"http://127.0.0.1:{port}" in here.process.stdout


def test_data_that_an_ending_server_still_holds_is_waited_for(tmp_path: Path) -> None:
    """It is said why nothing happens, and it goes on as soon as the other one has gone."""
    (tmp_path / "data/server").mkdir(parents=True)
    (tmp_path / "data/server/exit-code").write_text("5")
    with run(tmp_path) as here:
        here.process.wait_for("another process still holds its data")

        (tmp_path / "data/server/exit-code").unlink()

        here.wait_until_ready()
