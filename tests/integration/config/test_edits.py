"""Edits of a configuration: exactly what was wanted changes, and nothing that would break it."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from orchestrator.kernel.errors import (
    AlreadyExists,
    ConfigInvalid,
    NotFound,
    OrchestratorError,
    Refused,
    StateUnavailable,
)
from orchestrator.supervisor.config import edits
from orchestrator.supervisor.config.loader import load
from tests.support.configs import ConfigFolder, token

HEAD = f"""\
# the head
version: 1   # of the format

machine: {{max_jobs: 6, tags: [office]}}  # this one

defaults:
  server_url: https://control.example.com
  env:
    CI: "true"     # everywhere

# all of them
workers:
  # the site
  - name: web
    token: {token(0)}
    working_directory: web
    concurrency: 1   # for now
    tags:            # what it has
      - node
      - build        # the slow one
    limits: {{timeout: 2h, memory: 1GiB}}
    # env_file: .env

  - name: api.v2
    token: {token(1)}
    working_directory: web
# the end
"""
SET = [
    ("web.concurrency", "2", [("concurrency: 1   # for now", "concurrency: 2   # for now")]),
    ("workers.web.concurrency", "2", [("concurrency: 1 ", "concurrency: 2 ")]),
    ("web.limits.memory", "2GiB", [("memory: 1GiB}", "memory: 2GiB}")]),
    ("web.limits.nice", "5", [("memory: 1GiB}", "memory: 1GiB, nice: 5}")]),
    ("web.tags", "[gpu]", None),
    ("web.paused", "true", [("1GiB}\n", "1GiB}\n    paused: true\n")]),
    ("api.v2.limits.memory", "2GiB", [("web\n# the", "web\n    limits: {memory: 2GiB}\n# the")]),
    ("api.v2.env.A", "x: y # z", [("web\n# the", 'web\n    env: {A: "x: y # z"}\n# the')]),
    ("machine.max_jobs", "auto", [("max_jobs: 6", "max_jobs: auto")]),
    ("machine.log.level", "error", [("[office]}", "[office], log: {level: error}}")]),
    ("machine.tags", "[a, b]", [("[office]", "[a, b]")]),
    ("defaults.env.MODE", "fast", [("# everywhere\n", "# everywhere\n    MODE: fast\n")]),
    ("defaults.env.CI", '"2"', [('CI: "true" ', 'CI: "2" ')]),
    ("defaults.env.CI", "a, b", [('CI: "true" ', "CI: a, b ")]),
    ("server.embedded", "false", [("end\n", "end\n")]),
]


def _edited(config: ConfigFolder, text: str = HEAD) -> Path:
    config.load(text)
    return config.path


@pytest.mark.parametrize(("name", "value", "changes"), SET)
def test_one_value_becomes_another_one(
    config: ConfigFolder, name: str, value: str, changes: list[tuple[str, str]] | None
) -> None:
    """Where it stands, or at the end of its mapping; every other character stays as it is."""
    path = _edited(config)
    edited = edits.put(path, config.environ, name, value)
    edited.write()

    if changes is not None and name != "server.embedded":
        expected = HEAD
        for old, new in changes:
            assert expected.count(old) == 1
            expected = expected.replace(old, new)
        assert path.read_text() == expected
    assert load(path, config.environ, state_dir=config.home).ok
    comments = [line.split("#", 1)[1] for line in HEAD.splitlines() if "# " in line]
    lost = [words for words in comments if words not in path.read_text()]
    # A list that is written anew in one line cannot keep what stood between its lines.
    assert set(lost) <= ({" what it has", " the slow one"} if name == "web.tags" else set())


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("web.concurrency", "    concurrency: 1   # for now\n"),
        ("web.limits.memory", ", memory: 1GiB"),
        ("web.limits.timeout", "timeout: 2h, "),
        ("machine.max_jobs", "max_jobs: 6, "),
        ("defaults.env.CI", '  env:\n    CI: "true"     # everywhere\n'),
        ("web.tags", HEAD[HEAD.index("    tags: ") : HEAD.index("    limits:")]),
    ],
)
def test_a_key_goes_with_its_line(config: ConfigFolder, name: str, gone: str) -> None:
    """What then would be empty goes as well."""
    path = _edited(config)
    assert HEAD.count(gone) == 1

    edits.unset(path, config.environ, name).write()

    assert path.read_text() == HEAD.replace(gone, "")


def test_a_worker_is_added_behind_the_others(config: ConfigFolder) -> None:
    """As they are written, with an empty line where these have one."""
    path = _edited(config)
    config.private("tokens/new", token(2) + "\n")

    keys: list[tuple[str, str | int]] = [
        ("token", "${file:tokens/new}"),
        ("working_directory", "web"),
        ("concurrency", 3),
    ]
    edits.add(path, config.environ, "new", keys).write()

    assert path.read_text() == HEAD.replace(
        "    working_directory: web\n# the end\n",
        "    working_directory: web\n\n  - name: new\n    token: ${file:tokens/new}\n"
        "    working_directory: web\n    concurrency: 3\n# the end\n",
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nserver: {embedded: true}\n",
        "version: 1\nserver: {embedded: true}\nworkers:\n# - name: x\n",
        "version: 1\nserver: {embedded: true}\nworkers: []\n",
        "version: 1\nserver: {embedded: true}\nworkers: []  # none yet",
        "\ufeffversion: 1\nworkers:\n- {name: a, working_directory: web}\nserver: {embedded: true}",
        "{version: 1, server: {embedded: true}, workers: []}\n",
    ],
)
def test_a_first_worker_is_added_wherever_there_is_room(
    config: ConfigFolder, text: str, ending: str
) -> None:
    """Also to a file that has none, and every way of ending lines is kept."""
    path = _edited(config, text.replace("\n", ending))

    edits.add(path, config.environ, "web", [("working_directory", "web")]).write()

    loaded = load(path, config.environ, state_dir=config.home)
    assert loaded.ok
    assert loaded.wanted is not None
    assert [worker.name for worker in loaded.wanted.workers][-1] == "web"
    raw = path.read_bytes()
    assert raw.count(b"\r\n") == (raw.count(b"\n") if ending == "\r\n" else 0)
    assert raw.startswith(b"\xef\xbb\xbf") == text.startswith("\ufeff")


def test_a_file_in_json_stays_json(config: ConfigFolder) -> None:
    """Keys in quotes, and values as JSON has them."""
    config.path = config.home / "workers.json"
    path = _edited(
        config,
        '{\n  "version": 1,\n  "server": {"embedded": true},\n  "workers": [\n    '
        '{"name": "a", "working_directory": "web"}\n  ]\n}\n',
    )

    edits.add(path, config.environ, "b", [("working_directory", "web")]).write()
    edits.put(path, config.environ, "b.tags", "[x]").write()
    edits.put(path, config.environ, "machine.name", "oak").write()
    edits.remove(path, config.environ, "a").write()

    loaded = load(path, config.environ, state_dir=config.home)
    assert loaded.ok
    assert loaded.wanted is not None
    assert (loaded.wanted.name, loaded.wanted.workers[0].tags) == ("oak", ("x",))
    assert '{"name": "b", "working_directory": "web", "tags": ["x"]}' in path.read_text()


def test_a_worker_goes_with_its_lines(config: ConfigFolder) -> None:
    """And with the comments in them; the others stay, and so does the list when it is empty."""
    text = HEAD.replace("version: 1 ", "server: {embedded: true}\nversion: 1 ")
    path = _edited(config, text)
    begin, end = text.index("  - name: web"), text.index("\n  - name: api")

    edits.remove(path, config.environ, "web").write()
    assert path.read_text() == text[:begin] + text[end:]
    edits.remove(path, config.environ, "api.v2").write()

    assert "workers: []\n# the end\n" in path.read_text()


@pytest.mark.parametrize(
    ("name", "value", "error", "told"),
    [
        ("web.concurency", "2", ConfigInvalid, "did you mean 'concurrency'?"),
        ("web.concurrency", "0", ConfigInvalid, ":17:18: this must be at least 1"),
        ("web.concurrency", "many", ConfigInvalid, "this must be a whole number"),
        ("web.working_directory", "nowhere", ConfigInvalid, "there is no directory"),
        ("web.concurrency.x", "1", ConfigInvalid, "there is no place for 'x'"),
        ("web.concurrency.a.b", "1", ConfigInvalid, "no place for 'a': 'concurrency' is no map"),
        ("web.tags.a.b", "1", ConfigInvalid, "there is no place for 'a'"),
        ("web.tags", "[a, a]", ConfigInvalid, "is in the list twice"),
        ("shop.concurrency", "1", NotFound, "there is no worker 'shop'"),
        ("web", "1", ConfigInvalid, "names nothing that could be set"),
        ("machine", "1", ConfigInvalid, "names nothing that could be set"),
    ],
)
def test_what_would_not_run_is_refused_with_its_line(
    config: ConfigFolder, name: str, value: str, error: type[OrchestratorError], told: str
) -> None:
    """And the file is as it was."""
    path = _edited(config)

    with pytest.raises(error) as refused:
        edits.put(path, config.environ, name, value)

    assert told in refused.value.message
    assert path.read_text() == HEAD


def test_what_others_share_is_for_people_to_edit(config: ConfigFolder) -> None:
    """A value behind an anchor would change for everybody who has it."""
    text = (
        "version: 1\nserver: {embedded: true}\ndefaults: {limits: &l {nice: 1}}\nworkers:\n"
        "- {name: a, working_directory: web, limits: *l}\n"
        "- {name: b, working_directory: web, <<: {paused: true}}\n"
    )
    path = _edited(config, text)

    for name in ("a.limits", "a.limits.nice", "defaults.limits.nice"):
        with pytest.raises(Refused) as refused:
            edits.put(path, config.environ, name, "2")
        assert "edit the file yourself" in str(refused.value.hint)
    assert path.read_text() == text
    edits.put(path, config.environ, "b.paused", "false").write()
    assert "<<: {paused: true}, paused: false}" in path.read_text()


def test_a_broken_file_is_mended_first(config: ConfigFolder) -> None:
    """Nobody knows what an edit of it would mean."""
    path = _edited(config, HEAD + "workers: []\n")

    with pytest.raises(ConfigInvalid) as refused:
        edits.put(path, config.environ, "web.concurrency", "2")

    assert "is here a second time" in refused.value.message


def test_a_name_is_there_once(config: ConfigFolder) -> None:
    """Adding it again says how it is changed."""
    path = _edited(config)

    with pytest.raises(AlreadyExists) as refused:
        edits.add(path, config.environ, "web", [])

    assert "orchestrator set web.KEY VALUE" in str(refused.value.hint)


def test_a_file_that_changed_meanwhile_is_left_alone(config: ConfigFolder) -> None:
    """Whoever saved it in between meant that."""
    path = _edited(config)
    edited = edits.put(path, config.environ, "web.concurrency", "2")
    config.private(path.name, HEAD + "# mine\n")

    with pytest.raises(Refused, match="changed meanwhile"):
        edited.write()

    assert path.read_text() == HEAD + "# mine\n"
    assert {one.name for one in config.home.iterdir()} == {"workers.yaml", "web"}


def test_it_is_replaced_as_a_whole_and_keeps_its_mode_and_its_link(config: ConfigFolder) -> None:
    """A reader sees the old file or the new one; a link stays a link."""
    path = _edited(config)
    real = config.home / "real.yaml"
    path.rename(real)
    real.chmod(0o400)
    path.symlink_to(real)
    with real.open() as old:
        edits.put(path, config.environ, "web.concurrency", "2").write()
        assert old.read() == HEAD

    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o400
    assert "concurrency: 2" in path.read_text()


def test_it_stays_in_the_group_that_reads_it(config: ConfigFolder) -> None:
    """A service of another user may read it through its group."""
    path = _edited(config)
    others = {4242} if os.geteuid() == 0 else set(os.getgroups()) - {os.getegid()}
    if not others:
        pytest.skip("this user is in one group only")
    group = others.pop()
    os.chown(path, -1, group)
    path.chmod(0o600)

    edits.put(path, config.environ, "web.concurrency", "2").write()

    assert "concurrency: 2" in path.read_text()
    assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), group)


def test_a_file_that_goes_away_meanwhile_is_told(config: ConfigFolder) -> None:
    """So is its folder; neither is a fault of ours."""
    path = _edited(config)
    edited = edits.put(path, config.environ, "web.concurrency", "2")
    path.unlink()

    with pytest.raises(StateUnavailable, match=r"workers\.yaml: No such file"):
        edited.write()
    shutil.rmtree(config.home)
    with pytest.raises(StateUnavailable, match=r"workers\.yaml: No such file"):
        edited.write()


def test_the_difference_shows_no_secret(config: ConfigFolder) -> None:
    """Two lines around it, with tokens and values of variables hidden."""
    path = _edited(config)
    edited = edits.put(path, config.environ, "defaults.env.API_TOKEN", "hunter2")

    told = "\n".join(edited.diff())

    assert "+    API_TOKEN: …" in told
    assert "hunter2" not in told
    removed = "\n".join(edits.remove(path, config.environ, "web").diff())
    assert "-    token: …" in removed
    assert token(0) not in removed
