"""Files that others include: one configuration, and every problem with its own file."""

import pytest

from orchestrator.supervisor.config import included
from orchestrator.supervisor.config.loader import Loaded, load
from tests.support.configs import ConfigFolder, token, words

MAIN = "version: 1\ninclude: [workers.d/*.yaml]\ndefaults: {concurrency: 3}\n"


def _names(loaded: Loaded) -> list[str]:
    assert loaded.wanted is not None, words(loaded)
    return [worker.name for worker in loaded.wanted.workers]


def _part(config: ConfigFolder, *numbers: int, **keys: str) -> str:
    return "workers:\n" + "".join(config.worker(number, **keys) for number in numbers)


def test_workers_of_all_files_are_one_machine(config: ConfigFolder) -> None:
    """In the order of the alphabet, with the defaults of the first file, each with its place."""
    config.private("workers.d/b.yaml", "version: 1\n" + _part(config, 3))
    config.private("workers.d/a.yaml", _part(config, 1, 2))
    config.private("workers.d/.a.yaml.swp", "half a fi")
    config.private("workers.d/empty.yaml", "# nothing yet\n")
    config.private("workers.d/notes.txt", "no configuration")

    loaded = config.load(MAIN + _part(config, 0))

    assert words(loaded) == ""
    assert _names(loaded) == ["w0", "w1", "w2", "w3"]
    assert loaded.wanted is not None
    last = loaded.wanted.workers[-1]
    assert last.concurrency == 3
    assert str(last.place) == f"{config.home}/workers.d/b.yaml:3:5"
    assert last.working_directory == config.home / "web"


@pytest.mark.parametrize("own", ["", "workers:\n", "workers: []\n"])
def test_all_workers_may_be_elsewhere(config: ConfigFolder, own: str) -> None:
    """The first file then says what holds for all."""
    config.private("workers.d/a.yaml", _part(config, 1))

    assert _names(config.load(MAIN + own)) == ["w1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers: [\n", "a.yaml:2:1: something is missing before"),
        ("- x\n", "a.yaml:1:1: this must be a mapping"),
        ("workers: {}\n", "a.yaml:1:10: this must be a list"),
        ("version: 2\n", "a.yaml:1:10: this must be 1"),
        ("machine: {}\n", "a.yaml:1:1: 'machine' cannot be said in a file that is included"),
        ("include: [x]\n", "a.yaml:1:1: 'include' cannot be said in a file that is included"),
        ("workers:\n  - nam: x\n", "a.yaml:2:5: unknown key 'nam'"),
        ("workers:\n  - concurrency: 0\n", "a.yaml:2:18: this must be at least 1"),
        ("workers:\n  - name: w0\n", "a.yaml:2:11: another worker is called 'w0' as well"),
        ("workers: []\nworkers: []\n", "a.yaml:2:1: the key 'workers' is here a second time"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_there(config: ConfigFolder, text: str, told: str) -> None:
    """And all of it is refused, as if it stood in the first one."""
    config.private("workers.d/a.yaml", text)

    loaded = config.load(MAIN + _part(config, 0))

    assert loaded.wanted is None
    assert f"{config.home}/workers.d/{told}" in words(loaded)


@pytest.mark.parametrize(
    ("include", "told"),
    [
        ("nothing.yaml", "nothing.yaml is not there"),
        ("workers.d", "workers.d is a directory"),
        ("'*/a.yaml'", "a pattern may stand in the name of the file alone"),
        ("~nobody-here/x", "there is no user"),
        ("'/**'", "'**' is not understood"),
        ("'~/**'", "'**' is not understood"),
        ("'a**.yaml'", "'**' is not understood"),
        ('"a\\0b.yaml"', "must not contain NUL"),
        ('"*\\0.yaml"', "must not contain NUL"),
        ("' '", "this is empty"),
        ("/", "/ is a directory"),
        ("a" * 4097, "characters"),
        ("a" * 300, "file name too long"),
        ("workers.d/a.yaml/*.yaml", "not a directory"),
    ],
)
def test_what_cannot_be_included_is_told_where_it_is_named(
    config: ConfigFolder, include: str, told: str
) -> None:
    """With the place of its name."""
    config.private("workers.d/a.yaml", _part(config, 1))

    loaded = config.load(f"version: 1\ninclude: [{include}]\n" + _part(config, 0))

    assert loaded.wanted is None
    assert f"{config.path}:2:11: " in words(loaded)
    assert told in words(loaded)


def test_a_folder_with_too_many_names_is_told(
    config: ConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read at each change, so it is not read without end."""
    monkeypatch.setattr(included, "NAMES", 3)
    for number in range(4):
        (config.home / f"note{number}").touch()

    told = words(config.load("version: 1\ninclude: ['*.yaml']\n"))

    assert f"{config.path}:2:11: {config.home} holds more than 3 names" in told


def test_a_token_is_there_once(config: ConfigFolder) -> None:
    """In two files it is told with both places, and no secret of either is shown."""
    config.private("workers.d/a.yaml", _part(config, 1, token=token(0)))

    loaded = config.load(MAIN + _part(config, 0))

    assert _names(loaded) == ["w0"]
    told = words(loaded)
    assert f"{config.home}/workers.d/a.yaml:3:12: this is the token of another worker" in told
    assert f"{config.path}:6:12: the first one is here" in told
    assert token(0) not in told


def test_every_file_with_a_token_is_for_its_owner_alone(config: ConfigFolder) -> None:
    """The command that closes it names that file."""
    config.private("workers.d/a.yaml", _part(config, 1), mode=0o644)

    loaded = config.load(MAIN + _part(config, 0))

    assert loaded.wanted is None
    told = words(loaded)
    assert f"{config.home}/workers.d/a.yaml:3:12: other users can read this file" in told
    assert f"chmod 600 {config.home}/workers.d/a.yaml" in told


def test_a_file_is_read_once(config: ConfigFolder) -> None:
    """However often it is named, and however wide a pattern is."""
    config.private("more.yaml", _part(config, 1))

    loaded = config.load("version: 1\ninclude: [more.yaml, '*.yaml']\n" + _part(config, 0))

    assert _names(loaded) == ["w0", "w1"]


def test_what_was_kept_is_all_of_it(config: ConfigFolder) -> None:
    """A start with a broken included file has the last good one of that as well."""
    config.private("workers.d/a.yaml", _part(config, 1))
    good = config.load(MAIN)
    config.private("workers.d/a.yaml", "workers: [")

    again = load(
        config.path, config.environ, state_dir=config.home, kept=good.raw,
        kept_included=good.included,
    )  # fmt: skip

    assert _names(again) == ["w1"]
    assert good.digest == again.digest
    assert config.load(MAIN).digest != good.digest
