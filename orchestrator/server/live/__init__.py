"""Everything that waits: long polls, event streams, claims that found nothing."""
