"""Mistakes about other versions: what a newer one wrote, and what it asks for (G19)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_KEPT_SPOOL: Final = "integration/kept/test_spool.py"

MUTANTS: Final = (
    Mutant(
        name="newer-record-not-understood",
        breaks=("G19.1",),
        file="worker/spool/tail.py",
        old="{name: it for name, it in record.items() if name in _TOLD}",
        new="dict(record)",
        tests=tests_in(_KEPT_SPOOL, "test_what_another_version_left_is_told"),
    ),
    Mutant(
        name="newer-cause-not-understood",
        breaks=("G19.1",),
        file="worker/spool/tail.py",
        old='"cause": _cause(record["cause"])',
        new='"cause": Cause(record["cause"])',
        tests=tests_in(
            _KEPT_SPOOL,
            "test_the_end_that_a_newer_shim_has_a_word_for_is_told_all_the_same",
        ),
    ),
    Mutant(
        name="newer-identity-not-understood",
        breaks=("G19.1",),
        file="worker/spool/identity.py",
        old="{name: fields[name] for name in Identity.__slots__ if name in fields}",
        new="dict(fields)",
        tests=tests_in(_KEPT_SPOOL, "test_what_another_version_left_is_told"),
    ),
    Mutant(
        name="newer-spool-opened",
        breaks=("G19.1",),
        file="worker/spool/segment.py",
        old='if header["format"] > layout.FORMAT:',
        new='if header["format"] > layout.FORMAT + 1:',
        tests=tests_in(_KEPT_SPOOL, "test_a_spool_in_a_newer_format_is_refused_untouched"),
    ),
    Mutant(
        name="another-protocol-is-no-such-path",
        breaks=("G19.1",),
        file="orchestrator/server/access/doorkeeper.py",
        old='if spoken is not None and spoken[1] != "1":',
        new="if spoken is None:",
        tests=tests_in(
            "integration/kept/test_calls.py",
            "test_a_worker_of_another_protocol_is_refused_in_words",
        ),
    ),
    Mutant(
        name="answer-lost-a-field",
        breaks=("G19.1",),
        file="orchestrator/protocol/wire.py",
        old="    output_offset: int = 0\n    started: bool = False\n",
        new="    started: bool = False\n",
        tests=tests_in(
            "integration/kept/test_calls.py",
            "test_a_worker_understands_the_server_of_another_version",
        ),
    ),
)
