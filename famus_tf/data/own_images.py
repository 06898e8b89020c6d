"""A user's own images: class folders, or lists of paths and labels."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from famus_tf import errors
from famus_tf.data import bundle, image_files, listing, noise

_TEST_SHARE = 0.2
_SPLIT_SEED = 0
_PROBED = 64
# Images of up to so many pixels are taken as they are, larger ones as is usual for photographs.
_SMALL = 96
_CROP, _RESIZE = 224, 256


@dataclasses.dataclass(frozen=True)
class Options:
    """How own images are found and made alike.

    Attributes:
        image_size: side of the square that the network sees; 0: the images' own where they are small, else 224.
        resize: pixels of the shorter side before the crop; 0: the images' own where they are small, else 8/7 of
            `image_size`.
        train_list, test_list, meta_list: files of paths and labels, for `load_list`; the last may be empty.
        list_separator: see `listing.read`.
    """

    image_size: int = 0
    resize: int = 0
    train_list: str = ""
    test_list: str = ""
    meta_list: str = ""
    list_separator: str = "auto"


_Examples = tuple[list[str], list[str]]


def load_folder(data_dir: str | None, options: Options) -> bundle.Source:
    """Images in class folders.

    Either `train/`, `test/` (or `val/`) and, if there are trusted labels, `meta/`, each with one folder for each class;
    or the class folders themselves, of which a fifth of each class, the same in every run, becomes the test set.

    Args:
        data_dir: the folder.
        options: see there; the lists are not used.

    Returns:
        A source whose training labels may be wrong, in unknown places.

    Raises:
        errors.InputError: the layout is another, a class is empty or not in the training set.
    """
    expected = "train/<class>/<image> and test/<class>/<image>, or <class>/<image>"
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(f"--data_dir={data_dir or ''}: expected a folder with {expected}")
    if not os.path.isdir(os.path.join(data_dir, "train")):
        return _make("folder", *_split(_class_folders(data_dir, expected)), None, options)
    splits = {}
    for name, folders in (("train", ("train",)), ("test", ("test", "val")), ("meta", ("meta",))):
        found = [folder for folder in folders if os.path.isdir(os.path.join(data_dir, folder))]
        if found:
            splits[name] = _class_folders(os.path.join(data_dir, found[0]), expected)
    if "test" not in splits:
        raise errors.InputError(f"{data_dir}: has train/ but no test/ or val/, expected {expected}")
    return _make("folder", splits["train"], splits["test"], splits.get("meta"), options)


def load_list(data_dir: str | None, options: Options) -> bundle.Source:
    """Images named in list files, one path and label in a line.

    Args:
        data_dir: the folder that relative paths start at; None for that of each list file.
        options: see there.

    Returns:
        A source whose training labels may be wrong, in unknown places. Labels that are numbers are class ids.

    Raises:
        errors.InputError: a list is missing, a line is none of a path and a label, an image is missing, or a label is
            not in the training list.
    """
    if not options.train_list or not options.test_list:
        raise errors.InputError("--dataset=list: expected --train_list and --test_list")
    train, test = (
        listing.read(path, data_dir, options.list_separator) for path in (options.train_list, options.test_list)
    )
    meta = listing.read(options.meta_list, data_dir, options.list_separator) if options.meta_list else None
    return _make("list", train, test, meta, options)


def _class_folders(root: str, expected: str) -> _Examples:
    """Paths and class names of the images below `root`, in order."""
    with os.scandir(root) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise errors.InputError(f"{root}: has no class folders, expected {expected}")
    paths, names = [], []
    for name in folders:
        files = sorted(file for file in os.listdir(os.path.join(root, name)) if listing.is_image(file))
        if not files:
            endings = ", ".join(listing.IMAGE_ENDINGS)
            raise errors.InputError(f"{os.path.join(root, name)}: holds no images ({endings}), expected {expected}")
        paths += [os.path.join(root, name, file) for file in files]
        names += [name] * len(files)
    return paths, names


def _split(examples: _Examples) -> tuple[_Examples, _Examples]:
    """Training and test part of one folder; RandomState promises the same numbers in every release of NumPy."""
    paths, names = (np.array(part) for part in examples)
    in_test, rng = np.zeros(len(paths), bool), np.random.RandomState(_SPLIT_SEED)
    for name in np.unique(names):
        members = rng.permutation(np.flatnonzero(names == name))
        if len(members) < 2:
            raise errors.InputError(f"class {name}: has 1 image, expected 2 or more, for training and for test")
        in_test[members[: max(1, round(_TEST_SHARE * len(members)))]] = True
    return tuple((paths[part].tolist(), names[part].tolist()) for part in (~in_test, in_test))


def _make(name: str, train: _Examples, test: _Examples, meta: _Examples | None, options: Options) -> bundle.Source:
    to_id, class_names = _class_ids(train[1])
    test = _with_ids(test, to_id, "test")
    meta = None if meta is None else _with_ids(meta, to_id, "meta")
    sample, shapes = _probe(train[0])
    transform = _transform(shapes, options)
    images = image_files.ImageFiles(np.array(train[0]), transform)
    mean, std = bundle.channel_statistics(image_files.as_array(images, sample))
    return bundle.Source(
        name=name,
        train_images=images,
        train_labels=np.array([to_id[label] for label in train[1]], np.int32),
        test_images=image_files.ImageFiles(np.array(test[0]), transform),
        test_labels=test[1],
        class_names=class_names,
        mean=mean,
        std=tuple(max(value, 1.0) for value in std),
        crop_padding=0,
        flip=True,
        classes=noise.Classes(len(class_names)),
        labels_are_true=False,
        meta_images=None if meta is None else image_files.ImageFiles(np.array(meta[0]), transform),
        meta_labels=None if meta is None else meta[1],
    )


def _class_ids(labels: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The id of each label as it is written, and the classes' names by id."""
    distinct = sorted(set(labels))
    if all(label.isdecimal() for label in distinct):
        count = max(map(int, distinct)) + 1
        return {label: int(label) for label in distinct}, tuple(map(str, range(count)))
    return {label: number for number, label in enumerate(distinct)}, tuple(distinct)


def _with_ids(examples: _Examples, to_id: dict[str, int], what: str) -> tuple[list[str], np.ndarray]:
    paths, labels = examples
    for path, label in zip(paths, labels, strict=True):
        if label not in to_id:
            raise errors.InputError(
                f"{path}: class {label!r} of the {what} set is not among the training set's classes"
            )
    return paths, np.array([to_id[label] for label in labels], np.int32)


def _probe(paths: list[str]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Positions of up to `_PROBED` readable images, evenly spread, and their shapes; broken ones are told of later."""
    positions, shapes, first_error = [], [], None
    for k in np.unique(np.linspace(0, len(paths) - 1, _PROBED).astype(int)):
        try:
            shapes.append(image_files.decode(paths[k]).shape)
            positions.append(k)
        except errors.InputError as error:
            first_error = first_error or error
    if not shapes:
        raise first_error
    return np.array(positions), shapes


def _transform(shapes: list[tuple[int, ...]], options: Options) -> image_files.Transform:
    """Small images are taken in their own size, grey ones stay grey."""
    shortest = min(min(shape[:2]) for shape in shapes)
    channels = 1 if all(shape[2] == 1 for shape in shapes) else 3
    small = shortest <= _SMALL and not options.image_size and not options.resize
    size = options.image_size or (shortest if small else _CROP)
    resize = options.resize or (size if small else max(size, round(size * _RESIZE / _CROP)))
    return image_files.Transform(resize, size, padding=size // 8 if small else 0, channels=channels)
