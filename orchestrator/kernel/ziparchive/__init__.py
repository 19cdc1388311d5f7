"""Zip archives from strangers: looked at completely, and unpacked without trusting them.

It knows no job and no upload. The structure is read by our own few lines, because the standard
library accepts what must be refused (overlapping entries, prepended data, two ends) and rewrites
names that must be refused.  Every refusal is a `RequestInvalid` with the code `zip_unsafe` that
names the entry, the fault and what to do.
"""

from orchestrator.kernel.ziparchive.checking import check
from orchestrator.kernel.ziparchive.extraction import extract
from orchestrator.kernel.ziparchive.limits import ZipLimits, ZipSummary

__all__ = ["ZipLimits", "ZipSummary", "check", "extract"]
