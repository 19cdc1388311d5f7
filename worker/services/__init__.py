"""The loops of a worker, a file for each: what runs side by side as long as it lives."""
