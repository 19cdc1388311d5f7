"""Layer 1: the wire. Models, words, limits, ids, tokens and frames, without any IO."""
