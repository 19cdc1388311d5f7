"""The spool: a worker's durable memory of what it was granted, what was said, and how it ended.

It knows no server and decides nothing about jobs. What is in it is `worker.records`; who writes it
is `worker.shim`; here it is read, synced, remembered as settled, and removed.
"""

from worker.spool.attempt_log import AttemptLog
from worker.spool.spool import Spool

__all__ = ["AttemptLog", "Spool"]
