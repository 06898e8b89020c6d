"""A column of a list that says whom to trust: its images become the meta set."""

from __future__ import annotations

from collections.abc import Mapping

from famus_tf import errors
from famus_tf.data.formats import image_list

_Labelled = tuple[list[str], list[str]]


def divided(lists: Mapping[str, image_list.ImageList]) -> tuple[dict[str, _Labelled], list[str]]:
    """Paths and labels of each set, the trusted images of "train" in "meta", and sentences about them.

    Args:
        lists: by "train", "test" and perhaps "val", "meta" and names of further test sets.

    Raises:
        errors.InputError: the training list trusts none, or all, or there is a list of trusted images as well.
    """
    sets = {name: (found.paths, found.labels) for name, found in lists.items()}
    notes = [
        f"{found.path}: its column of trust is not read, as it is not the training list"
        for name, found in lists.items()
        if name != "train" and found.is_trusted is not None
    ]
    train = lists["train"]
    if train.is_trusted is None:
        return sets, notes
    if "meta" in lists:
        raise errors.InputError(
            f"{train.path}: has a column of trust, and option `meta_list`={lists['meta'].path} names trusted images as "
            "well; expected one of them"
        )
    count = sum(train.is_trusted)
    if not 0 < count < len(train.paths):
        raise errors.InputError(
            f"{train.path}: trusts {'all' if count else 'none'} of its {len(train.paths):,} images; expected some that "
            "are trusted, for the meta set, and others to train on"
        )
    for name, wanted in (("meta", True), ("train", False)):
        chosen = [k for k, trusted in enumerate(train.is_trusted) if trusted == wanted]
        sets[name] = ([train.paths[k] for k in chosen], [train.labels[k] for k in chosen])
    notes.append(f"{train.path}: its {count:,} trusted images are the meta set, and are not trained on")
    return sets, notes
