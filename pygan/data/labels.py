"""Labels in dataset.json: {"labels": [[file name, class], ...] or null}."""

from __future__ import annotations

import json

from .errors import DataError


def read_labels(text: bytes, where: str) -> dict[str, int] | None:
    """Labels by image name from dataset.json: {"labels": [[name, class], ...] or null}.

    Raises:
        DataError: not JSON of this form, or labels that are not integers of at least 0.
    """
    try:
        table = json.loads(text).get("labels")
        pairs = None if table is None else [(str(name), label) for name, label in table]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f'{where} is not of the form {{"labels": [[name, class], ...]}} ({error})'
        ) from error
    if pairs is None:
        return None
    for name, label in pairs:
        if isinstance(label, bool) or not isinstance(label, int) or label < 0:
            raise DataError(
                f"{where}: the label of {name} is {label!r}; labels must be integers from 0"
            )
    return dict(pairs)


def labels_of(names: list[str], table: dict[str, int], where: str) -> list[int]:
    """Labels in the order of `names`; every image must have one."""
    try:
        return [table[name] for name in names]
    except KeyError as error:
        raise DataError(
            f"{where} has no label for {error.args[0]}; label every image or none"
        ) from None
