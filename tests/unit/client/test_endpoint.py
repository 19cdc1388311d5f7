"""Addresses and credentials: which are taken, and that no secret is shown."""

import pytest

from orchestrator.client.endpoint import Endpoint
from orchestrator.kernel.errors import ConfigInvalid

KEY = "pak_secret"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700"),
        (" http://127.0.0.1:8700/ ", "http://127.0.0.1:8700"),
        ("https://control.example.com/pool/", "https://control.example.com/pool"),
        ("http://[::1]:8700", "http://[::1]:8700"),
    ],
)
def test_an_address_is_taken_without_its_last_slash(url: str, base: str) -> None:
    """Paths are joined to it, so it ends without a slash; a prefix is kept."""
    assert Endpoint.parse(url, KEY).address("/x") == f"{base}/x"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "begin with http"),
        ("127.0.0.1:8700", "begin with http"),
        ("ftp://x", "begin with http"),
        ("http://", "no host"),
        ("http://x?key=1", "before any"),
        ("http://x#y", "before any"),
        ("http://ex ample", "without spaces"),
        ("http://exämple", "plain ASCII"),
        ("http://x:port", "not a URL"),
        ("http://x:99999", "not a URL"),
        ("http://[::1", "not a URL"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(url: str, fault: str) -> None:
    """Each refusal names the fault and shows what an address looks like."""
    with pytest.raises(ConfigInvalid, match=fault) as refused:
        Endpoint.parse(url, KEY)

    assert "http://127.0.0.1:8700" in (refused.value.hint or "")


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """The refusal of an address with a password does not show the password."""
    with pytest.raises(ConfigInvalid) as refused:
        Endpoint.parse("http://admin:hunter2@host", KEY)

    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("key", ["", "a\nb", "käy", "a\x00b"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str) -> None:
    """A pasted line break is found here, before it could become a header of its own."""
    with pytest.raises(ConfigInvalid, match="API key") as refused:
        Endpoint.parse("http://x", key)

    assert key == "" or key not in refused.value.message


def test_the_credential_is_never_shown() -> None:
    """Neither `repr` nor `str` holds the key."""
    endpoint = Endpoint.parse("http://x", "pak_secret")

    assert "pak_secret" not in f"{endpoint!r} {endpoint}"


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ("pak_x", "Bearer pak_x"),
        ("machine_a:worker_b:secret_c", "Worker machine_a:worker_b:secret_c"),
    ],
)
def test_people_and_workers_introduce_themselves_differently(credential: str, header: str) -> None:
    """An API key is a bearer token, a worker's triple has a scheme of its own."""
    assert dict(Endpoint.parse("http://x", credential).headers())["Authorization"] == header


def test_parameters_are_encoded_and_those_not_given_left_out() -> None:
    """Nothing that a person types can change what is asked beside its own value."""
    endpoint = Endpoint.parse("http://x", KEY)

    address = endpoint.address("/y", {"a": "1&b=2", "c": None, "d": ["p", "q"], "e": True, "f": 3})

    assert address == "http://x/y?a=1%26b%3D2&d=p&d=q&e=true&f=3"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8700", True),
        ("http://127.8.9.1", True),
        ("http://localhost:1", True),
        ("http://[::1]:8700/api", True),
        ("https://control.example.com", False),
        ("http://10.0.0.127:8700", False),
        ("https://localhost.example.com", False),
        ("https://127.example.com", False),
    ],
)
def test_a_server_on_this_machine_is_known_by_its_address(url: str, *, local: bool) -> None:
    """Whoever tries again need not spare it: nobody else calls it."""
    assert Endpoint.parse(url, KEY).local is local
