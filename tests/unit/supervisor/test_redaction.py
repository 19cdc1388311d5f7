"""Two nets: what is known or looks secret is taken out, and what is left is searched once more."""

import base64
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.tokens import make_token
from orchestrator.supervisor.logic.redaction import HIDDEN, SHORTEST, Redactor

SECRET = 'pa"ss\\wörd+/=1'
SECRETS = st.text(string.ascii_letters + string.digits + '"\\ +/=äß€\n', min_size=SHORTEST).filter(
    lambda secret: len(secret.strip()) >= SHORTEST and secret.strip() == secret
)
AROUND = st.text(string.printable + "äß€", max_size=40)
LOOKS = {
    "token": f"machine_{'0' * 26}:worker_{'0' * 26}:{make_token('secret', bytes(32))}",
    "secret": make_token("secret", bytes(32)),
    "key": "pak_0123456789",
    "address": "postgresql://user:hunter2@db",
    "github": "ghp_" + "a1" * 18,
    "gitlab": "glpat-" + "a1" * 10,
    "openai": "sk-proj-" + "a1" * 20,
    "anthropic": "sk-ant-api03-" + "a1" * 20,
    "slack": "xoxb-" + "1" * 12,
    "amazon": "AKIA" + "A1" * 8,
    "google": "AIza" + "a" * 35,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
    "header": "Authorization: Bearer abcdef0123456789",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
}
FORMS = {
    "itself": SECRET,
    "json": json.dumps(SECRET)[1:-1],
    "json of unicode": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "url": quote(SECRET, safe=""),
    "hex": SECRET.encode().hex(),
    "upper hex": SECRET.encode().hex().upper(),
}


@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_known_secret_is_not_left(secret: str, before: str, after: str) -> None:
    """Wherever it stands, and whatever stands around it."""
    redactor = Redactor([secret])

    shown = redactor.text(before + secret + after)

    assert secret not in shown
    assert HIDDEN in shown
    assert redactor.leaks((before + secret + after).encode())


@given(secret=SECRETS, before=AROUND)
def test_a_document_has_none_left(secret: str, before: str) -> None:
    """Neither in keys nor in values, however deep; and the second net finds nothing there."""
    redactor = Redactor([secret])
    document = {before + secret: [{"a": secret}, (secret, 1, None, True)]}

    shown = json.dumps(redactor.value(document))

    assert json.dumps(secret)[1:-1] not in shown
    assert not redactor.leaks(shown.encode())


@pytest.mark.parametrize("name", LOOKS)
def test_what_looks_secret_is_hidden(name: str) -> None:
    """Also when nobody knew of it; the second net knows its look, too."""
    redactor = Redactor([])
    text = f"before {LOOKS[name]} after"

    assert redactor.leaks(text.encode())
    shown = redactor.text(text)
    assert (shown[:7], HIDDEN in shown) == ("before ", True)
    assert not redactor.leaks(shown.encode())


@pytest.mark.parametrize("name", FORMS)
def test_the_second_net_finds_every_form(name: str) -> None:
    """Of a secret that somebody has written in another way."""
    assert Redactor([SECRET]).leaks(f"x{FORMS[name]}x".encode())
    assert not Redactor(["another secret"]).leaks(f"x{FORMS[name]}x".encode())


@pytest.mark.parametrize("offset", range(6))
def test_the_second_net_finds_what_is_inside_something_encoded(offset: int) -> None:
    """As in a header of HTTP, where a name stands before it."""
    inside = base64.b64encode(b"u" * offset + SECRET.encode() + b"more").decode()

    assert Redactor([SECRET]).leaks(f"it was {inside}".encode())
    assert Redactor([SECRET]).leaks(inside.replace("+", "-").replace("/", "_").encode())


@pytest.mark.parametrize("key", ["token", "API_KEY", "db-password", "Authorization", "GH_TOKEN"])
def test_a_key_that_says_secret_hides_its_value(key: str) -> None:
    """Whatever the value is; a truth is none."""
    redactor = Redactor([])

    assert redactor.value({key: "x"}) == {key: HIDDEN}
    assert redactor.value({key: {"a": ["x"]}}) == {key: HIDDEN}
    assert redactor.value({key: True, "keys": "x"}) == {key: True, "keys": "x"}


def test_lines_of_a_long_secret_are_secrets() -> None:
    """A program shows a private key line by line."""
    redactor = Redactor([" -----\nMIIEowIBAAKCAQEA7\nshort\n----- "])

    assert redactor.text("read MIIEowIBAAKCAQEA7 of it, short") == f"read {HIDDEN} of it, short"


def test_a_short_secret_is_not_looked_for() -> None:
    """It would be found in everything."""
    assert Redactor(["web", "  web  "]).text("the web") == "the web"
