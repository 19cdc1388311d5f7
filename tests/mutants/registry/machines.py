"""Mistakes of a machine with many workers: siblings, refused files, the last good one (G14)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_WATCHER: Final = "orchestrator/supervisor/watcher.py"
_FLEET: Final = "orchestrator/supervisor/fleet.py"

MUTANTS: Final = (
    Mutant(
        name="refused-file-ends-the-watch",
        breaks=("G14.4", "M9"),
        file=_WATCHER,
        old='                self._reject(loaded, "it changes nothing")\n',
        new='                self._reject(loaded, "it changes nothing")\n                return\n',
        tests=tests_in(
            "integration/supervisor/test_reload.py",
            "test_a_broken_file_changes_nothing_until_it_is_mended",
        ),
    ),
    Mutant(
        name="refused-file-restarts-workers",
        breaks=("G14.4", "M9"),
        file=_WATCHER,
        old='                self._reject(loaded, "it changes nothing")\n',
        new='                self._reject(loaded, "it changes nothing")\n'
        "                for post in fleet.posts:\n"
        '                    post.leave("its file is broken")\n',
        tests=tests_in(
            "integration/supervisor/test_reload.py",
            "test_a_broken_file_changes_nothing_until_it_is_mended",
        ),
    ),
    Mutant(
        name="last-good-not-kept",
        breaks=("G14.4", "M9"),
        file=_WATCHER,
        old="        self._applied.keep(self._settings.state_dir)\n",
        new="",
        tests=tests_in(
            "integration/supervisor/test_reload.py",
            "test_a_start_with_a_broken_file_uses_the_last_good_one",
        ),
    ),
    Mutant(
        name="crash-restarts-everybody",
        breaks=("G14.1", "M4"),
        file=_FLEET,
        old="            for gone in [post for post in self.posts if post.is_gone]:\n",
        new="            if any(post.service and post.service.ended for post in self.posts):\n"
        '                [post.leave("a sibling ended") for post in self.posts]\n'
        "            for gone in [post for post in self.posts if post.is_gone]:\n",
        tests=tests_in("integration/supervisor/test_fleet.py", "test_a_crash_touches_nobody_else"),
    ),
    Mutant(
        name="limit-of-the-machine-forgotten",
        breaks=("G14.1", "M23"),
        file="orchestrator/supervisor/logic/share.py",
        old="        self.limit = limit\n",
        new="        self.limit = limit + 1\n",
        tests=tests_in(
            "unit/supervisor/test_share.py",
            "test_five_workers_of_four_slots_never_run_more_than_six_jobs",
        ),
    ),
)
