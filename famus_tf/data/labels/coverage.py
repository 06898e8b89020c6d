"""Which classes a set has no images of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_NAMED = 5


def sentences(class_names: Sequence[str], parts: Mapping[str, np.ndarray]) -> list[str]:
    """What cannot be learned or measured, for the user; nothing where each part has images of each of several classes.

    Args:
        class_names: one for each class id.
        parts: {"training" | "meta" | "test" | ...: class ids}; of an empty part nothing is said.
    """
    said = []
    if len(class_names) == 1:
        said.append(
            f"there is one class, {class_names[0]}: every answer is right, and an accuracy of 100% says nothing; "
            "expected two or more"
        )
    for part, labels in parts.items():
        counts = np.bincount(labels, minlength=len(class_names))
        absent = [name for name, count in zip(class_names, counts, strict=True) if not count]
        if absent and len(labels):
            more = ", ..." if len(absent) > _NAMED else ""
            named = ", ".join(absent[:_NAMED]) + more
            said.append(f"no {part} images of {len(absent):,} of {len(class_names):,} classes: {named}")
    return said
