"""The commands of ``pygan``, a module each: ``run(argv)`` returns the exit code.

A command imports Paddle, and what needs it, after ``prepare_process``: see ``process.py``.
"""
