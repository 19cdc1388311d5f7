"""Layer 0: clocks, errors, files, child processes, logs. It knows no job."""
