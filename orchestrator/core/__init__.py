"""Layer 2: what is true of jobs. Pure rules: no clock, no randomness, no IO."""
