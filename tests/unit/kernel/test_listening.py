"""How an address is written."""

import pytest

from orchestrator.kernel.listening import authority, url_at


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1:8700"), ("::1", "[::1]:8700"), ("oak", "oak:8700")],
)
def test_an_address_is_written_as_in_a_url(host: str, written: str) -> None:
    """An IPv6 address needs brackets, or its port is part of it."""
    assert authority(host, 8700) == written


@pytest.mark.parametrize(
    ("host", "written"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3"), ("oak", "oak")],
)
def test_this_machine_reaches_itself(host: str, written: str) -> None:
    """All of its addresses are none that one could call."""
    assert url_at(host, 8700) == f"http://{written}:8700"
