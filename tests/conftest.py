"""Puts tests/ on the path (pytest inserts a conftest's folder), so that tests share `gradcheck`."""
