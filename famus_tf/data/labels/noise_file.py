"""Given labels from a file: of other people's code, or of human annotators."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import archives, pickles

# CIFAR-N's name of the true labels; its other entries are annotations.
_TRUE = "clean_label"


def read(path: str, key: str, true_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """One label for each training image of the data set, by its position there.

    *   `.json`: a list of class ids, as DivideMix keeps its noise.
    *   `.npy`: a vector of class ids.
    *   `.pt`: CIFAR-10N and CIFAR-100N (Wei et al., "Learning with Noisy Labels Revisited", 2022), read without
        PyTorch. Its true labels must be those of the data set, which shows that the images stand in the same order.

    Args:
        path: the file.
        key: of a `.pt` file, which labels, such as worse_label; may be empty where there is one choice.
        true_labels: class ids [N] of the whole training set.
        num_classes: K.

    Returns:
        Class ids [N], int32.

    Raises:
        errors.InputError: the file is missing, broken, or does not fit the data set.
    """
    if not os.path.isfile(path):
        raise errors.InputError(f"option `noise_file`={path}: there is no such file, expected .json, .npy or .pt")
    kind = os.path.splitext(path)[1]
    labels = _read_torch(path, key, true_labels) if kind == ".pt" else _read_list(path, kind)
    if labels.shape != true_labels.shape or labels.dtype.kind not in "iu":
        raise errors.InputError(
            f"{path}: holds shape {labels.shape} and dtype {labels.dtype}, expected {len(true_labels)} whole numbers, "
            "one for each training image"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise errors.InputError(
            f"{path}: entry {wrong[0]} is {labels[wrong[0]]}, expected a class id from 0 to {num_classes - 1}"
        )
    return labels.astype(np.int32)


def _read_list(path: str, kind: str) -> np.ndarray:
    with errors.reading(path, "a list of class ids"):
        if kind == ".npy":
            # It makes no room for what a header merely names, and takes no archive for an array.
            return np.array(np.lib.format.open_memmap(path, mode="r"))
        with open(path, encoding="utf-8") as file:
            labels = pickles.whole_numbers(json.load(file))
        if labels is None:
            raise errors.InputError(f"{path}: holds no list of whole numbers, expected a class id for each image")
        return labels


def _read_torch(path: str, key: str, true_labels: np.ndarray) -> np.ndarray:
    content = archives.load_torch(path)
    if not isinstance(content, dict):
        raise errors.InputError(f"{path}: holds a {type(content).__name__}, expected a dict of labels")
    annotations = _annotations(content)
    choices = [name for name, labels in annotations.items() if labels.shape == true_labels.shape]
    choices = [name for name in choices if name != _TRUE and "coarse" not in name]
    if not key and len(choices) == 1:
        key = choices[0]
    if key not in choices:
        given = f"option `noise_key`={key}" if key else "no option `noise_key`"
        raise errors.InputError(
            f"{given} with {path}: expected one of {', '.join(choices) or 'its labels'}, of {len(true_labels)} images"
        )
    has_true_labels = _TRUE in content or _TRUE.encode() in content
    if has_true_labels and not np.array_equal(annotations.get(_TRUE), true_labels):
        raise errors.InputError(
            f"{path}: its {_TRUE} differ from the data set's true labels, so the images stand in another order; "
            "expected the files of the Python form in option `data_dir`"
        )
    return annotations[key]


def _annotations(content: dict[str | bytes, Any]) -> dict[str, np.ndarray]:
    """The labels in CIFAR-N's dict by name; entries that are not whole numbers are left out."""
    annotations = {}
    for key, value in content.items():
        name = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
        labels = pickles.whole_numbers(value)
        if labels is not None:
            annotations[name] = labels
    return annotations
