"""What was computed before and need not be again: a checked store, and what a chapter read when it ran."""
