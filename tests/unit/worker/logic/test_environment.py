"""What a job finds in its environment."""

import pytest

from worker.logic.environment import DEFAULT_PATH, base, for_job


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
