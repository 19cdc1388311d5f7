"""What every test gets: one event loop backend, its databases, the limits of an end-to-end test.

Helpers live in `tests/support/` and are imported by name. Nothing is defined here that a test would
have to look up by magic.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer

E2E_TIMEOUT_S = 120.0
POSTGRES_TIMEOUT_S = 60.0
"""The first test that asks also waits for the server to be made; if it gave up, all would fail."""
DATABASES = ("sqlite", "postgresql")
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let somebody who is in a hurry choose one database."""
    parser.addoption(
        "--database",
        action="append",
        choices=DATABASES,
        help="run the tests that are meant for every database on this one only",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a `database` once on each."""
    if "database" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--database") or DATABASES
        metafunc.parametrize("database", chosen, scope="session")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a PostgreSQL server, started when the first test asks for it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio: the programs run on nothing else."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in `tests/e2e/`, and give the slow the time that they need.

    First in the list, so that a timeout which a test states itself still wins.
    """
    for item in items:
        asks = {"postgres", "database"} & set(getattr(item, "fixturenames", ()))
        if asks and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(POSTGRES_TIMEOUT_S))
        if item.path.is_relative_to(HERE / "e2e"):
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(E2E_TIMEOUT_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of tests that count something: `record_property("figures", …)`."""
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
    ]
    figures = [
        str(value)
        for report in reports
        for name, value in report.user_properties
        if name == "figures"
    ]
    if figures:
        terminalreporter.section("figures")
        for line in sorted(figures):
            terminalreporter.line(line)
