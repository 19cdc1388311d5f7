"""What a job finds in its environment."""

import pytest

from worker.logic.environment import DEFAULT_PATH, base, common, for_job, looks_secret


@pytest.mark.parametrize(
    "name",
    [
        "WORKER_TOKEN",
        "ORCHESTRATOR_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "BASH_ENV",
        "BASH_FUNC_ls%%",
        "XDG_RUNTIME_DIR",
        "SSH_AUTH_SOCK",
        "lc_all",
    ],
)
def test_what_is_not_on_the_list_stays_behind(name: str) -> None:
    """Secrets, our own paths, and what loads foreign code do not reach a job."""
    assert name not in base({"PATH": "/bin", name: "x"})


def test_what_every_program_needs_comes_along() -> None:
    """Search path, home, user and language are the worker's."""
    surroundings = {"PATH": "/opt/bin:/bin", "HOME": "/home/w", "LC_TIME": "de", "TZ": "UTC"}

    assert base(surroundings) == surroundings


def test_there_is_always_a_path() -> None:
    """A worker that a bare service manager started still finds programs."""
    assert base({}) == {"PATH": DEFAULT_PATH}


def test_a_job_may_replace_what_is_common() -> None:
    """A job's own variables win over the worker's."""
    assert for_job({"PATH": "/bin", "HOME": "/root"}, {"HOME": "/tmp", "N": ""}) == {
        "PATH": "/bin",
        "HOME": "/tmp",
        "N": "",
    }


@pytest.mark.parametrize(
    ("passed", "comes"),
    [
        ((), set()),
        (("SHOP_*",), {"SHOP_SIZE", "SHOP_KEYBOARD"}),
        (("SHOP_TOKEN",), {"SHOP_TOKEN"}),
        (("*",), {"SHOP_SIZE", "SHOP_KEYBOARD"}),
        (("SHOP",), set()),
        (("*_DATABASE",), set()),
        (("SHOP_DATABASE",), {"SHOP_DATABASE"}),
        (("ORCHESTRATOR_*", "ORCHESTRATOR_URL", "WORKER_TOKEN"), set()),
    ],
)
def test_who_names_more_gets_more(passed: tuple[str, ...], comes: set[str]) -> None:
    """A name is taken at its word, a pattern lets no secret through, and ours are never passed."""
    surroundings = {
        "SHOP_SIZE": "7",
        "SHOP_KEYBOARD": "us",
        "SHOP_TOKEN": "s",
        "SHOP_DATABASE": "postgresql://shop:hunter2@db/shop",
        "ORCHESTRATOR_URL": "http://here",
        "WORKER_TOKEN": "t",
    }

    assert common(surroundings, passed, {}).keys() - {"PATH"} == comes


def test_what_a_worker_says_itself_is_not_asked_about() -> None:
    """Its own `env` holds whatever it holds, and stands over what is passed on."""
    given = common({"A": "1", "PATH": "/bin"}, ("A",), {"A": "2", "MY_TOKEN": "x"})

    assert given == {"PATH": "/bin", "A": "2", "MY_TOKEN": "x"}


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "githubtoken",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "DB_PASS",
        "GPG_PASSPHRASE",
        "GOOGLE_CREDENTIALS",
        "API_KEYS",
        "MYAPIKEY",
        "SESSION_COOKIE",
    ],
)
def test_secrets_are_known_by_how_people_call_them(name: str) -> None:
    """Whatever a part of the name says."""
    assert looks_secret(name, "x")


@pytest.mark.parametrize("name", ["MONKEY", "KEYBOARD", "COMPASS", "TOKENIZER_PATH", "EDITOR"])
def test_other_names_are_no_secrets(name: str) -> None:
    """Words that merely contain such a word."""
    assert not looks_secret(name, "https://example.com/a:b@c")
