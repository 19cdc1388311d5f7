"""What a machine tells of itself."""

import dataclasses

from orchestrator.kernel import host
from orchestrator.protocol.wire import Host


def test_the_facts_are_what_the_wire_takes() -> None:
    """They are accepted as they are, and are those of this machine."""
    facts = host.facts()

    told = Host(**dataclasses.asdict(facts))

    assert told.cpu_count >= 1
    assert told.memory_bytes > 2**20
    assert told.python.startswith("3.")
