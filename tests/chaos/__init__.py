"""Real programs under faults, and a judge who was not there: see docs/reliability.md."""
