"""`pygan train`: train a model."""

from __future__ import annotations

import pygan
from pygan.commands.process import prepare_process, threads_option
from pygan.commands.training import exit_code, open_data
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    from pygan.algorithms import ALGORITHMS, find_algorithm

    if not argv or argv[0].startswith("-"):
        names = ", ".join(ALGORITHMS)
        if argv and argv[0] in ("-h", "--help"):
            print(f"usage: pygan train ALGORITHM [options]\n\nalgorithms: {names}")
            return 0
        raise InputError(f"train: name an algorithm first; choose from: {names}")
    name, argv = argv[0], argv[1:]
    dry_run = "--dry-run" in argv
    argv = [word for word in argv if word != "--dry-run"]
    prepare_process(threads_option(argv))
    algorithm = find_algorithm(name)

    from pygan.apps.metrics import make_evaluator
    from pygan.apps.transfer import open_source
    from pygan.training.distributed import world_size
    from pygan.training.options import dump_yaml, parse_options, resolve
    from pygan.training.paired import framed
    from pygan.training.run import start

    given = parse_options(algorithm.Config, argv, f"pygan train {name}", name)
    for option, what in (("data", "a folder, an archive or a built-in name"), ("out", "a folder")):
        if not given.get(option) and not (dry_run and option == "out"):
            raise InputError(f"--{option} is required: {what}")
    dataset = open_data(given["data"], bool(given.get("mirror", False)))
    source = open_source(given["resume"]) if given.get("resume") else None
    known = None if source is None else source.config
    dataset = framed(dataset, given)
    resolution = max(dataset.image_shape[1:])
    images = dataset.originals
    config = resolve(algorithm.Config, given, resolution, world_size(), known, images)
    evaluator = make_evaluator(algorithm, config, dataset)
    if dry_run:
        print(dump_yaml({"algorithm": name, **config.to_dict()}), end="")
        return 0
    if config.threads:
        pygan.set_num_threads(config.threads)
    return exit_code(start(config, algorithm, dataset, source, evaluator))
