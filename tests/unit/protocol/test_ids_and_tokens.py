"""Ids that sort and cannot be guessed; credentials that show when they were mistyped."""

import os

import pytest

from orchestrator.protocol.ids import is_id, make_id
from orchestrator.protocol.tokens import (
    KEY_PREFIXES,
    WorkerToken,
    is_well_formed,
    make_token,
    token_hash,
)


def test_ids_sort_by_their_moment() -> None:
    """An id made later is greater, whatever its random part."""
    earlier = make_id("job", at_ms=1_000, random=b"\xff" * 10)
    later = make_id("job", at_ms=1_001, random=b"\x00" * 10)

    assert earlier < later


def test_an_id_says_what_it_names() -> None:
    """An id is recognised only under its own prefix."""
    made = make_id("job", at_ms=1, random=os.urandom(10))

    assert is_id("job", made)
    assert not is_id("worker", made)
    assert not is_id("job", made[:-1])
    assert not is_id("job", made[:-1] + "U")


@pytest.mark.parametrize("prefix", KEY_PREFIXES)
def test_a_token_is_known_by_its_prefix_and_checksum(prefix: str) -> None:
    """A token of ours is well formed; with one character changed it is not."""
    token = make_token(prefix, os.urandom(32))
    mistyped = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]

    assert is_well_formed(token, prefix)
    assert not is_well_formed(mistyped, prefix)
    assert not is_well_formed(token, "xyz")


def test_only_a_hash_of_a_token_is_kept() -> None:
    """The hash is stable, does not contain the token, and takes any text without failing."""
    token = make_token("pak", bytes(32))

    assert token_hash(token) == token_hash(token)
    assert token not in token_hash(token)
    assert len(token_hash("\udcff snowman \u2603")) == 64


def test_a_worker_token_hides_its_secret_from_logs() -> None:
    """The triple reads back as it was written, and its repr has no secret."""
    secret = make_token("secret", os.urandom(32))
    machine, worker = (make_id(name, at_ms=5, random=bytes(10)) for name in ("machine", "worker"))

    token = WorkerToken.parse(f"{machine}:{worker}:{secret}")

    assert token is not None
    assert str(token) == f"{machine}:{worker}:{secret}"
    assert secret not in repr(token)


@pytest.mark.parametrize(
    "text", ["", "a:b:c", "machine_x:worker_y:secret_z", "machine_\u2603:worker_y:secret_z"]
)
def test_what_is_not_a_triple_is_not_parsed(text: str) -> None:
    """A malformed triple is no token, and no error either."""
    assert WorkerToken.parse(text) is None
