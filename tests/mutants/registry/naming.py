"""How the registry names tests."""


def tests_in(file: str, *names: str) -> tuple[str, ...]:
    """Return the ids of tests in a file of `tests/`."""
    return tuple(f"tests/{file}::{name}" for name in names)
