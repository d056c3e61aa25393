"""What is timed. Every function here builds, inside a worker, one callable (or a dict of them)."""
