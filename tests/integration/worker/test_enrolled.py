"""What a folder's worker keeps of its enrolment: one token, for one server."""

import json
from pathlib import Path

import pytest

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.tokens import make_token
from tests.support.configs import token
from worker.dotenv_file import Told
from worker.enrolment import with_token

URL = "http://127.0.0.1:9"
KEY = make_token("wak", b"k" * 32)


def _told(home: Path, *, url: str = URL, said: str = KEY) -> Told:
    state = home / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    return Told(home, {"SERVER_URL": url, "WORKER_TOKEN": said, "WORKER_STATE_DIR": str(state)})


def _kept(home: Path, text: str) -> None:
    _told(home)
    (home / "state/enrolled.json").write_text(text)


def test_a_kept_token_goes_to_its_own_server_alone(tmp_path: Path) -> None:
    """At another one the key is used; one that was typed meanwhile changes nothing of it."""
    _kept(tmp_path, json.dumps({"url": URL, "token": token(1)}))

    assert with_token(_told(tmp_path)).get(("WORKER_TOKEN",)) == token(1)
    _told(tmp_path, said=token(2)).settings()
    assert with_token(_told(tmp_path)).get(("WORKER_TOKEN",)) == token(1)
    with pytest.raises(OrchestratorError, match=r"127\.0\.0\.1:10"):
        with_token(_told(tmp_path, url="http://127.0.0.1:10"))


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', f'{{"url": "{URL}", "token": 1}}'])
def test_what_is_kept_and_says_nothing_is_made_anew(tmp_path: Path, text: str) -> None:
    """The key brings another token: here there is nobody to bring it from."""
    _kept(tmp_path, text)

    with pytest.raises(OrchestratorError, match=r"127\.0\.0\.1:9"):
        with_token(_told(tmp_path))
