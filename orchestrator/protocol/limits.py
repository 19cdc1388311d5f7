"""Every limit of the wire, each with its reason.

A limit that is met is answered with a clear refusal, never by cutting silently.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

JSON_BODY_BYTES: Final = 1 * MIB
"""A submit with the longest allowed argv and environment fits several times."""
JSON_DEPTH: Final = 32
"""Deeper JSON is an attack on recursion, not a job."""
JSON_KEYS: Final = 10_000
"""Bounds the time to parse one body."""

NAME_CHARS: Final = 200
TAGS: Final = 64
TAG_CHARS: Final = 100
EXPRESSION_CHARS: Final = 1000
"""What a job asks of tags is written by people: this is a long paragraph."""
EXPRESSION_DEPTH: Final = 16
"""Brackets within brackets; more of them nobody reads, and a reader of them recurses."""
LABELS: Final = 64
LABEL_CHARS: Final = 1000

ARG_BYTES: Final = 128 * KIB - 1
"""Linux refuses a single argument above 128 KiB (MAX_ARG_STRLEN) with E2BIG."""
ARGV_ITEMS: Final = 10_000
SCRIPT_BYTES: Final = 64 * KIB
STDIN_BYTES: Final = 256 * KIB
"""More than this is a file: upload it as an input."""
ENV_ENTRIES: Final = 256
ENV_BYTES: Final = 256 * KIB
PARAMS_BYTES: Final = 512 * KIB
RESULT_BYTES: Final = 256 * KIB
RAW_RESULT_BYTES: Final = 64 * KIB
"""Of a result that is not what its kind promises: kept for people who look for what went wrong."""

INPUTS: Final = 32
UPLOAD_BYTES: Final = 256 * MIB
"""The default; `ORCHESTRATOR_MAX_UPLOAD_BYTES` changes it."""
ZIP_ENTRIES: Final = 20_000
ZIP_TOTAL_BYTES: Final = 2 * 1024 * MIB
ZIP_RATIO: Final = 200
ZIP_RATIO_FREE_BYTES: Final = 1 * MIB
"""Small entries of zeros compress well and harm nobody: the ratio counts above this size."""
ZIP_NAME_BYTES: Final = 1024
ZIP_PART_BYTES: Final = 255

TIMEOUT_MAX_S: Final = 30 * 24 * 3600
TIMEOUT_DEFAULT_S: Final = 3600.0
GRACE_DEFAULT_S: Final = 10.0
GRACE_MAX_S: Final = 3600
PRIORITY_MIN: Final = -100
PRIORITY_MAX: Final = 100
ATTEMPTS_MAX: Final = 100
RETRY_WORDS: Final = 32
LOST_DEFAULT: Final = 3
REATTACH_DEFAULT_S: Final = 900.0
"""A quarter of an hour: a machine that was restarted by hand is back by then."""

SCHEDULES: Final = 1_000
"""Each is looked at by one server, which also does everything else."""
SCHEDULE_EVERY_MIN_S: Final = 5.0
"""Whoever needs a job more often needs one that goes on."""
SCHEDULE_EVERY_MAX_S: Final = 366 * 24 * 3600.0
SCHEDULE_JITTER_MAX_S: Final = 3600.0
SCHEDULE_MADE_UP: Final = 50
"""Missed moments that may fire at once when a server is back: they are one transaction."""
PREVIEWED: Final = 10
"""Fires that are shown before a schedule is saved."""

QUEUE_CHARS: Final = 64
QUEUES: Final = 1_000
"""A queue is a place that people know by name; what is many is a fairness key."""
QUEUE_WEIGHT_MAX: Final = 1_000
RUNNING_MAX: Final = 1_000_000
CONCURRENCY_KEYS: Final = 8
"""Each is counted in every claim that comes to the job."""
CONCURRENCY_MAX: Final = 10_000
RATE_LIMITS: Final = 4
RATE_COUNT_MAX: Final = 10_000
RATE_WINDOW_MAX_S: Final = 24 * 3600.0
"""Starts are remembered for as long as the longest window."""

FILTER_CHARS: Final = 2000
"""Of a filter of jobs: more than anybody types."""
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500
BATCH_ITEMS: Final = 1_000
"""In one call: about a tenth of a second of the writer. An open batch takes any number of calls."""
BATCH_BYTES: Final = 8 * MIB
"""Of the items of one call with what each takes of the defaults, which a body holds only once."""
DEPENDENCIES: Final = 100
"""What one job waits for: more than these are a batch, and a job at its end."""
IDS: Final = 1_000
"""Jobs in one order: one transaction does all of it."""
WAIT_MAX_S: Final = 30.0

SLOTS_MAX: Final = 1024
CLAIM_BATCH: Final = 256
"""Attempts in one claim: bounds the reply, and what is lost if that reply is."""
CLAIM_WAIT_S: Final = 25.0
"""Shorter than the 30 s after which proxies commonly cut an idle request."""
REPORT_EVENTS: Final = 1_000
REPORT_BYTES: Final = 1 * MIB
PROGRESS_S: Final = 1.0
"""Between two words of a try about how far it is: people look, and every word is a write."""
PROGRESS_CHARS: Final = 200
PROGRESS_COUNTERS: Final = 16
OUTPUT_INLINE_BYTES: Final = 8 * KIB
"""Output frames up to here ride in a report and live in the attempt's row; more goes to a file."""
OUTPUT_POST_BYTES: Final = 4 * MIB
NICE_DEFAULT: Final = 5
"""How far jobs step back, so that under load whoever looks after them still answers in time."""
OUTPUT_CAP_BYTES: Final = 64 * MIB
"""Of an attempt's own bytes, both streams together; more keeps the head and the tail."""
OUTPUT_HEAD_BYTES: Final = 8 * MIB
OUTPUT_FRAMES_FACTOR: Final = 2
"""Frames may take twice as much of the disk: a program that writes byte by byte fills its log with
heads of frames, 18 bytes for each of its own."""
OUTPUT_PART_BYTES: Final = 4 * MIB
FRAME_DATA_BYTES: Final = 64 * KIB
"""The size of a pipe, so one read is at most one frame."""

HEARTBEAT_S: Final = 15.0
OFFLINE_AFTER_S: Final = 30.0
LEASE_S: Final = 60.0
REAPER_S: Final = 5.0

MIN_FREE_BYTES: Final = 2048 * MIB
"""Of a worker's disk; nothing is taken while less is free, unless its configuration says more."""
SMALL_DISK: Final = 10
"""Of a disk that is so small that `MIN_FREE_BYTES` is more than this part of it, this part."""

IDEMPOTENCY_KEY_CHARS: Final = 200

REASON_CHARS: Final = 500
"""Why a worker is held, or begins anew: a sentence or two, in every line of its status."""
OVERLAP_MAX_S: Final = 24 * 3600.0
"""How long two tokens of one worker are accepted, at most: a day to mend what went wrong."""
HOLD_MAX_S: Final = 366 * 24 * 3600.0
"""A hold that is to last longer has no end, and needs none."""
