"""What holds for all models of the wire."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from orchestrator import protocol
from orchestrator.protocol.base import Reply, Request

for module in pkgutil.iter_modules(protocol.__path__):
    importlib.import_module(f"{protocol.__name__}.{module.name}")


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        if subclass.__module__.startswith(protocol.__name__):
            yield subclass
        yield from _below(subclass)


def test_each_model_has_a_name_of_its_own() -> None:
    """Who reads a name, also in the description of the API, knows which of them is meant."""
    names = Counter(model.__name__ for model in {*_below(Request), *_below(Reply)})

    assert [name for name, count in names.items() if count > 1 and "[" not in name] == []


@pytest.mark.parametrize("model", sorted({*_below(Request), *_below(Reply)}, key=str))
def test_a_model_can_be_built(model: type[BaseModel]) -> None:
    """What is only built when it is used must not fail there for the first time."""
    assert model.model_rebuild(force=True)
