"""The same image in two sets, or twice with different labels, found by the bytes of the files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from famus_tf import errors
from famus_tf.data.images import content, image_files
from famus_tf.data.source import Conflict, Examples, Source

_TRAINING = "training"


def marked(
    source: Source,
    *,
    train_on_held_out: bool = False,
    progress: Callable[[str, int], Callable[[int], None] | None] | None = None,
) -> Source:
    """Marks the training images that are in another set as well, so that `make_dataset` does not train on them.

    A test or validation image is taken out of the meta set too. What was found is said in the source's `notes`.

    Args:
        source: where its images are no files, it stays as it is.
        train_on_held_out: whether they are trained on all the same; then they are counted and named alone.
        progress: as in `content.groups`.

    Raises:
        errors.InputError: no training image, or no meta image, would be left.
    """
    parts = _parts(source)
    if not all(isinstance(part.images, image_files.ImageFiles) for part in parts.values()):
        return source
    of_all = content.groups(np.concatenate([part.images.paths for part in parts.values()]), progress)
    ends = np.cumsum([len(part.labels) for part in parts.values()])
    group_of = dict(zip(parts, np.split(of_all, ends[:-1]), strict=True))
    notes = []
    excluded = _left_out_of(_TRAINING, parts, group_of, train_on_held_out, notes)
    if excluded.all():
        raise errors.InputError(
            f"{source.name}: all {len(excluded):,} training images are in another set as well: {'; '.join(notes)}; "
            "expected others to train on, or option `train_on_held_out`"
        )
    meta = source.meta
    if meta is not None and not train_on_held_out:
        meta = _without_held_out(source.name, parts, group_of, notes)
    notes += _of_validation(parts, group_of)
    notes += _repeated(parts, group_of)
    conflicts = _conflicts(source, parts, group_of)
    if conflicts:
        notes.append(_of_conflicts(conflicts))
    return dataclasses.replace(
        source,
        meta=meta,
        not_trained_on=excluded if excluded.any() and not train_on_held_out else None,
        same_image=group_of[_TRAINING],
        conflicts=conflicts,
        notes=(*source.notes, *notes),
    )


def _parts(source: Source) -> dict[str, Examples]:
    held_out = {"validation": source.validation, "test": Examples(source.test_images, source.test_labels)}
    held_out |= {**source.other_tests, "meta": source.meta}
    parts = {_TRAINING: Examples(source.train_images, source.train_labels), **held_out}
    return {name: part for name, part in parts.items() if part is not None}


def _left_out_of(
    name: str, parts: dict[str, Examples], group_of: dict[str, np.ndarray], keep: bool, notes: list[str]
) -> np.ndarray:
    """Which images of a set are in another set of `parts` as well, bool [n]; and a sentence for each other set."""
    excluded = np.zeros(len(group_of[name]), bool)
    for other in parts:
        if other == name or (name == "meta" and other == _TRAINING):
            continue
        both = np.isin(group_of[name], group_of[other])
        if not both.any():
            continue
        excluded |= both
        path = os.fsdecode(parts[name].images.paths[np.flatnonzero(both)[0]])
        then = "they are trained on all the same" if keep else f"they are taken out of the {name} set"
        notes.append(
            f"{both.sum():,} of the {len(both):,} {name} images are in the {other} set as well, such as {path}; {then}"
        )
    return excluded


def _without_held_out(
    name: str, parts: dict[str, Examples], group_of: dict[str, np.ndarray], notes: list[str]
) -> Examples:
    meta = parts["meta"]
    excluded = _left_out_of("meta", parts, group_of, False, notes)
    if len(excluded) and excluded.all():
        raise errors.InputError(
            f"{name}: all {len(excluded):,} meta images are in another set as well: {'; '.join(notes)}; expected "
            "others, or option `train_on_held_out`"
        )
    return Examples(meta.images[~excluded], meta.labels[~excluded]) if excluded.any() else meta


def _of_validation(parts: dict[str, Examples], group_of: dict[str, np.ndarray]) -> list[str]:
    if "validation" not in parts:
        return []
    both = int(np.isin(group_of["validation"], group_of["test"]).sum())
    if not both:
        return []
    return [
        f"{both:,} of the {len(group_of['validation']):,} validation images are in the test set as well: the epoch is "
        "chosen by them"
    ]


def _repeated(parts: dict[str, Examples], group_of: dict[str, np.ndarray]) -> list[str]:
    notes = []
    for name, groups in group_of.items():
        _, first, counts = np.unique(groups, return_index=True, return_counts=True)
        if (counts > 1).any():
            path = os.fsdecode(parts[name].images.paths[first[np.argmax(counts)]])
            notes.append(
                f"{(counts > 1).sum():,} images are in the {name} set more than once, {counts.max():,} times at most: "
                f"{path}"
            )
    return notes


def _conflicts(source: Source, parts: dict[str, Examples], group_of: dict[str, np.ndarray]) -> tuple[Conflict, ...]:
    """Each place of each image that has different labels in different places."""
    groups = np.concatenate(list(group_of.values()))
    labels = np.concatenate([part.labels for part in parts.values()])
    order = np.lexsort((labels, groups))
    changes = (groups[order][1:] == groups[order][:-1]) & (labels[order][1:] != labels[order][:-1])
    different = np.unique(groups[order][1:][changes])
    rows = []
    for name, part in parts.items():
        for position in np.flatnonzero(np.isin(group_of[name], different)):
            number = int(np.searchsorted(different, group_of[name][position]))
            path = os.fsdecode(part.images.paths[position])
            rows.append(Conflict(number, name, path, source.class_names[part.labels[position]]))
    return tuple(sorted(rows))


def _of_conflicts(conflicts: tuple[Conflict, ...]) -> str:
    first = [row for row in conflicts if row.image == conflicts[0].image]
    other = next(row for row in first if row.label != first[0].label)
    shown = " and ".join(f"{row.label!r} for {row.path} ({row.set})" for row in (first[0], other))
    return f"{conflicts[-1].image + 1:,} images have different labels in different places, such as {shown}"
