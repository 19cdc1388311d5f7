"""What it costs to keep a hundred workers, beside other programs that keep a hundred programs."""
