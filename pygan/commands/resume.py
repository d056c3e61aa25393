"""`pygan resume`: go on with a run."""

from __future__ import annotations

from pathlib import Path

import pygan
from pygan.commands.process import prepare_process, threads_option
from pygan.commands.training import exit_code, open_data
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print("usage: pygan resume RUN [--force] [options]\n\n'pygan resume RUN --help': options")
        return 0
    if not argv or argv[0].startswith("-"):
        raise InputError("resume: name the folder of the run first")
    folder, argv = Path(argv[0]), argv[1:]
    force = "--force" in argv
    argv = [word for word in argv if word != "--force"]
    prepare_process(threads_option(argv))

    from pygan.algorithms import find_algorithm
    from pygan.apps.metrics import make_evaluator
    from pygan.training.config import resumable_fields
    from pygan.training.options import parse_options
    from pygan.training.run import find_run, resume

    algorithm, config, saved = find_run(folder, find_algorithm)
    only = resumable_fields(algorithm.Config)
    prog = f"pygan resume {folder} [--force]"
    changes = parse_options(
        algorithm.Config, argv, prog, algorithm.name, only, defaults=config.to_dict()
    )
    config = algorithm.Config.from_dict({**config.to_dict(), **changes})
    if not config.data:
        raise InputError("--data is required: the weights were imported, and the run has none yet")
    if config.threads:
        pygan.set_num_threads(config.threads)
    dataset = open_data(config.data, config.mirror)
    evaluator = make_evaluator(algorithm, config, dataset)
    return exit_code(resume(config, algorithm, dataset, saved, force, evaluator))
