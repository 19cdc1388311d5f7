"""`make soak`: the same work without any harm, and nothing may grow. See docs/reliability.md."""

import argparse
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

from tests.chaos.course import Course, run
from tests.chaos.figures import figures, text
from tests.chaos.gauges import WAL_MAX_MIB, Sample, gauges, sample, table, wal_mib
from tests.chaos.judge import judge
from tests.chaos.site import Site

EVERY_S: Final = 1.0


class Watch:
    """Looks at a site again and again, in a thread of its own."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.wal_mib = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, site: Site) -> None:
        """Look from now on."""
        self._thread = threading.Thread(target=self._look, args=(site,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, site: Site) -> None:
        while not self._over.wait(EVERY_S):
            self.samples += sample(site)
            self.wal_mib = max(self.wal_mib, wal_mib(site))


def main() -> int:
    """Work for a while, print what everything used, and return 0 only if nothing grew."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from")
    parser.add_argument("--folder", type=Path, help="make the run's folder below this one")
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=told.folder)).resolve()
    watch = Watch()
    try:
        course = Course(told.seconds, told.seed, folder, hosts=2, harm=False)
        found = run(course, lambda words: print(f"… {words}", file=sys.stderr), watch)
    finally:
        watch.end()
        shutil.rmtree(folder, ignore_errors=True)
    verdict, used = judge(found), gauges(watch.samples)
    complaints = [complaint for gauge in used for complaint in gauge.complaints()]
    if watch.wal_mib > WAL_MAX_MIB:
        complaints.append(f"the database's log grew to {watch.wal_mib:.0f} MiB")
    print(text(figures(found)), table(used, watch.wal_mib), verdict, *complaints, sep="\n")
    return 0 if verdict.is_clean and not complaints else 1


if __name__ == "__main__":
    sys.exit(main())
