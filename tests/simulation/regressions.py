"""Seeds that have found something, each with its story: they are run for ever.

A seed is a world only as long as nobody changes how worlds are made. So each finding has a test of
its own beside the programs as well; here is what led to it.
"""

from typing import Final

STORIES: Final = {
    53: "a worker was stopped while the server could not be reached. After ten seconds it said "
    "good-bye, and the server gave back as never started what had run and ended: it ran again",
    140: "a power cut took the last line of a full segment and left the next segment, which had "
    "been synced: the log went on behind the hole, and its digest was right",
    56: "a shim was killed in its third segment. Its pool still named the first, long removed, "
    "and a descriptor was closed twice",
    58: "a worker could not start on a full disk, for want of the pid in its lock file",
    783: "a disk that had lied about syncs lost the beginning of a log, and the ledger with its "
    "digest: the worker told the digest of what was left as that of the whole. The server had all "
    "1,505 bytes, and called all of them missing",
    828: "a worker was stopped just as it was granted an attempt, and a restore took the attempt "
    "back meanwhile: it ran it and told how it ended, in its session of before, and nobody kept it",
    1332894330: "a report was lost, and the last of an output that came meanwhile made it too much "
    "for another one: it was to be uploaded, and nobody woke an uploader. The command was over, so "
    "nothing else would: the job stayed running for ever",
    9014: "a job that said nothing was ended by force. Its worker's heartbeat waited since before "
    "it was given the job, so there was nothing to abandon: the command ran on until the next",
    60062: "one backup was brought back twice within seconds. What was granted in between had a "
    "number that the second restore had not come to: its worker told how it ended, and nobody "
    "kept it",
    18: "a spool without room for its ledger ended its worker with a traceback",
}
