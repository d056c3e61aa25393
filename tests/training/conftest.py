"""Puts tests/training on the path, so that tests share `toy` and `programs`."""
