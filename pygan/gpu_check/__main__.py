"""Entry point of ``python -m pygan.gpu_check``."""

from pygan.gpu_check.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
