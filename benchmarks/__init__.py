"""Benchmarks of pygan against PyTorch, stock Paddle and the machine's own limits."""
