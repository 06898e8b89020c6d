"""Which folders of a tree are the training, test, validation and trusted set, and what is said of the others."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

from famus_tf import errors
from famus_tf.data.formats import class_folders, listing

EXPECTED = "train/<class>/<image> and test/<class>/<image>, or <class>/<image>"
# The names of each set's folder, in upper or lower case; the first that is there is read.
_NAMES = {
    "train": ("train", "training", "trn"),
    "test": ("test", "testing", "tst"),
    "val": ("val", "valid", "validation", "dev"),
    "meta": ("meta", "trusted"),
}
_MEANINGS = {"train": "training", "test": "test", "val": "validation", "meta": "trusted"}
# Trains, what is valid and what is trusted can be classes.
_NO_CLASS = frozenset({*_NAMES["test"], "val", "validation"})
_ALL_NAMES = frozenset(name for names in _NAMES.values() for name in names)
_LIKE_A_SET = re.compile(r"(?:^|[^a-z])(?:train|training|test|testing|val|valid|validation)(?:$|[^a-z])")
_TEST_SHARE = 0.2
# Of 2**64, as a whole number: the same on every machine.
_GOLDEN_RATIO = 0x9E3779B97F4A7C15
_LAST_NUMBER = re.compile(r"(?s:(.*?)([0-9]*)([^0-9]*))")
_MOST_COUNTED = 100_000

Labelled = tuple[list[str], list[str]]


@dataclasses.dataclass(frozen=True)
class FolderSplits:
    """The sets in a tree of class folders.

    Attributes:
        splits: {"train" | "test" | "val" | "meta": paths of images, and the name of the class folder of each}.
        notes: sentences on what was read as what, and on what was not read.
        left_out: how many files of each kind are not read.
        test_is_drawn: whether the test set is drawn out of the training images.
    """

    splits: dict[str, Labelled]
    notes: tuple[str, ...]
    left_out: collections.Counter[class_folders.LeftOut]
    test_is_drawn: bool = False


def read(data_dir: str) -> FolderSplits:
    """Reads `train/`, `test/`, `val/` and `meta/`, or class folders alone.

    Args:
        data_dir: the folder of these folders.

    Raises:
        errors.InputError: the layout is another, a class of the training set is empty, or a folder cannot be listed.
    """
    folders = class_folders.class_folders_in(data_dir)
    chosen = _chosen(data_dir, folders)
    if "train" in chosen:
        return _of_sets(data_dir, folders, chosen)
    _check_is_no_other_layout(data_dir, folders)
    return _of_classes_alone(data_dir)


def draw_test(examples: Labelled, root: str) -> tuple[Labelled, Labelled]:
    """Training and test part of class folders, drawn by the names of the files.

    Whether an image is in the test set depends on its own name, so that it stays there when others come and go, and
    when it is moved to another class. A class of which no name is drawn gives the image that comes nearest.

    Args:
        examples: paths, and the name of the class folder of each.
        root: the folder of the class folders.

    Raises:
        errors.InputError: a class has one image.
    """
    members = collections.defaultdict(list)
    for path, name in zip(*examples, strict=True):
        members[name].append((_draw(path.removeprefix(os.path.join(root, name, ""))), path))
    in_test = set()
    for name, drawn in members.items():
        if len(drawn) < 2:
            raise errors.InputError(
                f"{os.path.join(root, name)}: class {name} has 1 image, expected 2 or more, for training and for test"
            )
        drawn.sort()
        count = sum(number < _TEST_SHARE for number, _ in drawn)
        in_test.update(path for _, path in drawn[: min(max(count, 1), len(drawn) - 1)])
    parts = ([pair for pair in zip(*examples, strict=True) if (pair[0] in in_test) == test] for test in (False, True))
    return tuple(([path for path, _ in part], [name for _, name in part]) for part in parts)


def _draw(name: str) -> float:
    """A number in [0, 1) that is a function of a file's name, without its ending, alone.

    Numbered names take multiples of the golden ratio, of which any run is spread evenly: a hash would draw 2 of the
    names 0 to 29, and the same 2 in all classes whose files are numbered so.
    """
    stem = unicodedata.normalize("NFC", os.path.splitext(name)[0].replace(os.sep, "/"))
    before, number, after = _LAST_NUMBER.fullmatch(stem).groups()
    start = int.from_bytes(hashlib.sha256(os.fsencode(f"{before}\n{after}")).digest()[:8], "big")
    return (start + int(number or 0) * _GOLDEN_RATIO) % 2**64 / 2**64


def _chosen(data_dir: str, folders: list[str]) -> dict[str, str]:
    """{set: its folder}; without a training set nothing is one."""
    chosen = {}
    for split, names in _NAMES.items():
        alike = [folder for name in names for folder in sorted(folders, reverse=True) if folder.casefold() == name]
        if alike:
            chosen[split] = alike[0]
    train = chosen.get("train")
    # Trains can be a class of their own, beside cars and planes.
    if train and len(chosen) == 1 and len(folders) > 1 and not _has_class_folders(data_dir, train):
        return {}
    return chosen


def _has_class_folders(data_dir: str, folder: str) -> bool:
    return bool(class_folders.class_folders_in(os.path.join(data_dir, folder)))


def _of_sets(data_dir: str, folders: list[str], chosen: dict[str, str]) -> FolderSplits:
    found = {split: class_folders.find(os.path.join(data_dir, folder)) for split, folder in chosen.items()}
    notes = [
        f"{data_dir}: {folder}/ is read as the {_MEANINGS[split]} set"
        for split, folder in chosen.items()
        if folder != split
    ]
    class_folders.require_images(os.path.join(data_dir, chosen["train"]), found["train"], EXPECTED)
    if "meta" in found and not found["meta"].names:
        class_folders.require_images(os.path.join(data_dir, chosen["meta"]), found["meta"], "meta/<class>/<image>")
    known = set(found["train"].names)
    notes += [
        f"{os.path.join(data_dir, chosen[split], name)}: holds no images, and {name} is no class of the training set"
        for split, part in found.items()
        for name in part.empty
        if name not in known
    ]
    splits = {split: (part.paths, part.names) for split, part in found.items() if part.names}
    if "test" not in splits:
        if "val" not in splits:
            raise errors.InputError(f"{data_dir}: {_no_test(chosen, found)}, expected {EXPECTED}")
        splits["test"] = splits.pop("val")
        notes.append(f"{data_dir}: has no test set with class folders; {chosen['val']}/ is the test set")
    notes += [
        f"{data_dir}: {folder}/ has no images in class folders and is not read"
        for split, folder in chosen.items()
        if not found[split].names
    ]
    top = class_folders.find(data_dir, only=())
    if beside := [folder for folder in folders if folder not in chosen.values()]:
        named = ", ".join(f"{folder}/ ({_count(os.path.join(data_dir, folder))})" for folder in beside)
        notes.append(f"{data_dir}: folders beside those of the sets are not read: {named}")
    top.left_out.update(class_folders.LeftOut(class_folders.BESIDE, data_dir, f"{folder}/") for folder in beside)
    return _with_notes(data_dir, splits, notes, [top, *found.values()])


def _no_test(chosen: dict[str, str], found: dict[str, class_folders.Found]) -> str:
    held = [f"{chosen[split]}/ without images in class folders" for split in ("test", "val") if split in found]
    return f"has {chosen['train']}/ but " + (" and ".join(held) or "no test/ or val/")


def _of_classes_alone(data_dir: str) -> FolderSplits:
    found = class_folders.find(data_dir)
    class_folders.require_images(data_dir, found, EXPECTED)
    train, test = draw_test((found.paths, found.names), data_dir)
    note = (
        f"{data_dir}: has no test set, so {len(test[0]):,} of the {len(found.paths):,} images, drawn by their names, "
        "are the test set; its labels are as often wrong as those of the training set"
    )
    splits = _with_notes(data_dir, {"train": train, "test": test}, [note], [found])
    return dataclasses.replace(splits, test_is_drawn=True)


def _with_notes(
    data_dir: str, splits: dict[str, Labelled], notes: list[str], parts: Iterable[class_folders.Found]
) -> FolderSplits:
    left_out, inner = collections.Counter(), {}
    for part in parts:
        left_out.update(part.left_out)
        inner |= part.inner
    return FolderSplits(splits, (*notes, *class_folders.sentences(data_dir, left_out, inner)), left_out)


def _count(folder: str) -> str:
    """How many images there are in a folder and below, by their endings."""
    count = 0
    seen = 0
    for _, _, files in os.walk(folder):
        count += sum(map(listing.is_image, files))
        seen += len(files)
        if seen > _MOST_COUNTED:
            return f"{count:,} or more images"
    return f"{count:,} images"


def _check_is_no_other_layout(data_dir: str, folders: list[str]) -> None:
    """Refuses trees that could be read as classes, and are more likely sets under other names or in another place."""
    nested = [name for name in folders if _has_class_folders(data_dir, name) and not _has_images(data_dir, name)]
    like = [name for name in folders if name.casefold() in (_ALL_NAMES if name in nested else _NO_CLASS)]
    alike = [name for name in nested if _LIKE_A_SET.search(name.casefold())]
    if like or len(alike) > 1:
        named = " and ".join(f"{name}/" for name in (like or alike)[:4])
        raise errors.InputError(f"{data_dir}: has {named} but no train/, expected {EXPECTED}")
    for name in nested:
        place = os.path.join(data_dir, name)
        inside = class_folders.class_folders_in(place)
        if len(folders) == 1 and len(inside) > 1:
            raise errors.InputError(
                f"{data_dir}: holds one folder, {name}/, with {len(inside):,} folders in it, such as {inside[0]}/; "
                f"expected {EXPECTED}, as perhaps in {place}"
            )
        sets = [folder for folder in inside if folder.casefold() in _NO_CLASS.union(_NAMES["train"])]
        if len(sets) > 1:
            raise errors.InputError(
                f"{place}: has {' and '.join(f'{folder}/' for folder in sets)} inside the class, expected {EXPECTED}"
            )


def _has_images(data_dir: str, folder: str) -> bool:
    return class_folders.holds_images(os.path.join(data_dir, folder))
