"""What every test gets: one event loop backend, and the limits of an end-to-end test.

Helpers live in `tests/support/` and are imported by name. Nothing is defined here that a test would
have to look up by magic.
"""

from pathlib import Path

import pytest

E2E_TIMEOUT_S = 120.0
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio: the programs run on nothing else."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in `tests/e2e/`, and give it the time that real programs need.

    First in the list, so that a timeout which a test states itself still wins.
    """
    for item in items:
        if item.path.is_relative_to(HERE / "e2e"):
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(E2E_TIMEOUT_S))
