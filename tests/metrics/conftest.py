"""Puts tests/metrics on the path, so that tests share `features`."""
