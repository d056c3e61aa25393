"""Intermediate latent codes: from seeds, from files, and the images that they stand for.

``w`` is what a mapping network makes of a latent code, and every layer of the synthesis network
takes one (Karras et al. 2019, "A style-based generator architecture"). Here codes are arrays
``[N, num_ws, w_dim]``, one ``w`` per layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np
import paddle

from pygan.apps.sample import TrainedModel, parse_numbers, write_pictures
from pygan.errors import InputError
from pygan.files import replacing
from pygan.models.stylegan2 import Generator
from pygan.training.grid import to_pixels


@dataclass(frozen=True)
class CodeFile:
    """What a file of codes holds.

    Attributes:
        ws: codes [N, num_ws, w_dim] float32.
        noise: one map [h, w] per layer, if it has them.
    """

    ws: np.ndarray
    noise: Optional[list[np.ndarray]] = None


def style_generator(model: TrainedModel) -> Generator:
    """The generator of a model that has intermediate latent codes.

    Raises:
        InputError: it has none.
    """
    generator = model.networks.get("G")
    if not isinstance(generator, Generator):
        raise InputError(
            f"this needs a generator with intermediate latent codes, such as StyleGAN2's; "
            f"{model.algorithm.name} has none"
        )
    return generator


@paddle.no_grad()
def find_codes(
    model: TrainedModel,
    text: str,
    option: str,
    *,
    label: Optional[int] = None,
    truncation: float = 1.0,
) -> np.ndarray:
    """Codes [N, num_ws, w_dim] from seeds and files.

    Args:
        model: whose codes they are.
        text: seeds, ranges and ``.npz`` files of :func:`read_codes`: ``0-3,8,face.npz``.
        option: name of the command's option, for errors.
        label: class of the seeds; required of conditional models, unless there are files only.
        truncation: psi in ``w' = w_avg + psi (w - w_avg)``, for files, too.
    """
    generator = style_generator(model)
    parts = []
    for item in text.split(","):
        if item.strip().endswith(".npz"):
            parts.append(read_codes(Path(item.strip()), model).ws)
        else:
            model.check_label(label)
            seeds = parse_numbers(item, option, "or .npz files")
            parts.append(_map(generator, seeds, label))
    return truncate(model, np.concatenate(parts), truncation)


def truncate(model: TrainedModel, ws: np.ndarray, psi: float) -> np.ndarray:
    """Codes ``w_avg + psi (w - w_avg)``, as :class:`pygan.nn.MappingNetwork` has them."""
    if psi == 1:
        return ws
    average = style_generator(model).mapping.w_avg.numpy()
    return average + (ws - average) * np.float32(psi)


def _map(generator: Generator, seeds: Sequence[int], label: Optional[int]) -> np.ndarray:
    z = np.stack([np.random.RandomState(seed).randn(generator.z_dim) for seed in seeds])
    c = None if label is None else paddle.full([len(seeds)], label, dtype="int64")
    codes: np.ndarray = generator.mapping(paddle.to_tensor(z.astype(np.float32)), c).numpy()
    return codes


@paddle.no_grad()
def draw(
    model: TrainedModel,
    ws: np.ndarray,
    *,
    noise: Union[str, Sequence[np.ndarray]] = "const",
    batch: int = 8,
) -> np.ndarray:
    """Images [N, C, H, W] uint8 of codes [N, num_ws, w_dim].

    Args:
        model: whose codes they are.
        ws: the codes.
        noise: 'const', 'none', or one map [h, w] per layer.
        batch: images per forward pass.
    """
    synthesis = style_generator(model).synthesis
    maps = noise if isinstance(noise, str) else [paddle.to_tensor(m) for m in noise]
    images = [
        to_pixels(synthesis(paddle.to_tensor(ws[i : i + batch]), noise=maps).numpy())
        for i in range(0, len(ws), batch)
    ]
    return np.concatenate(images)


def write_codes(path: Path, ws: np.ndarray, noise: Sequence[np.ndarray] = ()) -> None:
    """Writes codes [N, num_ws, w_dim] as ``w``, and noise maps as ``noise0``, ``noise1``, ..."""
    arrays = {"w": ws, **{f"noise{i}": values for i, values in enumerate(noise)}}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]  # of numpy's allow_pickle


def read_codes(path: Path, model: TrainedModel) -> CodeFile:
    """Reads what :func:`write_codes` wrote, or the file of another projector.

    Args:
        path: an ``.npz`` file with ``w`` [N, num_ws, w_dim] or, for one ``w`` per image, [N, w_dim]
            or [N, 1, w_dim].
        model: that is to draw them.

    Raises:
        InputError: there is no such file, it is damaged, or of another model.
    """
    synthesis = style_generator(model).synthesis
    arrays = _read_arrays(path)
    if "w" not in arrays:
        raise InputError(f"{path}: has no array called w, but {', '.join(arrays) or 'none'}")
    ws = arrays["w"]
    if ws.ndim == 2:
        ws = ws[:, None]
    count, size = synthesis.num_ws, synthesis.w_dim
    if ws.ndim != 3 or len(ws) == 0 or ws.shape[1] not in (1, count) or ws.shape[2] != size:
        raise InputError(
            f"{path}: w has shape {list(arrays['w'].shape)}; this model takes [N, {count}, {size}]"
        )
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} has values that are not finite")
    ws = np.ascontiguousarray(np.broadcast_to(ws, (len(ws), count, size)))
    names = [f"noise{i}" for i in range(len(synthesis.noise_shapes))]
    if names[0] not in arrays:
        return CodeFile(ws)
    for name, shape in zip(names, synthesis.noise_shapes):
        found = arrays[name].shape if name in arrays else None
        if found != shape:
            raise InputError(f"{path}: {name} has shape {found}; this model takes {shape}")
    return CodeFile(ws, [arrays[name] for name in names])


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise InputError(f"{path}: is not an .npz file of arrays ({error})") from None
    for name, values in arrays.items():
        dtype = getattr(values, "dtype", None)  # numpy hands out members it cannot read as bytes
        if dtype is None or dtype.kind not in "fiu":
            raise InputError(f"{path}: {name} holds {dtype or 'raw bytes'}, not numbers")
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def write_drawn(
    model: TrainedModel,
    path: Path,
    out: Path,
    *,
    columns: Optional[int] = None,
    singles: bool = True,
    truncation: float = 1.0,
    noise: Optional[str] = None,
    batch: int = 8,
) -> list[Path]:
    """Writes ``code<number>.png`` for every code of a file and all of them as ``grid.png``.

    Args:
        model: see :func:`read_codes`.
        path: the file of codes.
        out: folder to write to.
        columns: of the grid; None chooses.
        singles: whether to write the single images, too.
        truncation: psi of the truncation trick.
        noise: 'const' or 'none'; None takes the maps of the file, if it has them, and else 'const'.
        batch: images per forward pass.

    Returns:
        The files written; the grid comes last.
    """
    codes = read_codes(path, model)
    maps = codes.noise or "const"
    ws = truncate(model, codes.ws, truncation)
    pixels = draw(model, ws, noise=noise or maps, batch=batch)
    names = [f"code{i:04d}" for i in range(len(ws))]
    return write_pictures(pixels, names if singles else [], out, columns)
