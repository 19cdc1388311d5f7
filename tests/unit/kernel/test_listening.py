"""How an address is written."""

import pytest

from orchestrator.kernel.listening import authority


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1:8700"), ("::1", "[::1]:8700"), ("oak", "oak:8700")],
)
def test_an_address_is_written_as_in_a_url(host: str, written: str) -> None:
    """An IPv6 address needs brackets, or its port is part of it."""
    assert authority(host, 8700) == written
