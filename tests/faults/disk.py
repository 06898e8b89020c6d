"""Reads folder trees that hypothesis makes up, and counts how that ends.

    python -m tests.faults.disk --count=5000 --json=benchmarks/results/folder_trees.json

Right is "read", with each file on disk found as an image or counted among what is not read; or "refused", an
`InputError` of one line that names a place in the tree.
"""

import collections
import os
import pathlib
import tempfile
import unicodedata

from hypothesis import strategies

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.formats import class_folders
from famus_tf.data.sets import own_images
from famus_tf.files import plain_text
from tests.faults import image_samples, made_up

_LEFTOVERS = ("__MACOSX", "@eaDir", "lost+found", ".ipynb_checkpoints", ".git")
_CLASSES = (
    *("cat", "dog", "Cat", "1", "01", "2", "10", "00000", "2019", "caf\u00e9", "cafe\u0301", "a b", "$x"),
    *("-1", "nan", "\x1b[31m", "b\udcff", "x" * 200, "train", "valid"),
)
_FOLDERS = (
    *_CLASSES,
    *_LEFTOVERS,
    *("train", "test", "val", "validation", "dev", "meta", "trusted", "Train", "TEST", "testing", "seg_train"),
    *("seg_test", "runs", "images", "unlabeled"),
)
_IMAGES = ("0.png", "1.png", "a.jpg", "b.JPEG", "c.jfif", "d.jpe", "e.PNG", "\u00e9.png", "f\n.png", "g\udcff.png")
_FILES = (
    *_IMAGES,
    *("h.tif", "noending", "k.0001", "l.txt", "m.heic", "n.png~", "o.jpg.part", "._0.png", ".DS_Store", ".p.png"),
    *("Thumbs.db", "desktop.ini", "q.csv", "flags.cfg"),
)
_CONTENTS = ("PNG", "PNG", "JPEG", "empty", "text", "to nowhere", "to itself", "to above", "pipe")


def _folders(children):
    return strategies.builds(
        lambda files, folders: files | folders,
        strategies.dictionaries(strategies.sampled_from(_FILES), strategies.sampled_from(_CONTENTS), max_size=3),
        strategies.dictionaries(strategies.sampled_from(_FOLDERS), children, max_size=4),
    )


_ANY = strategies.recursive(
    strategies.dictionaries(strategies.sampled_from(_FILES), strategies.sampled_from(_CONTENTS), max_size=5),
    _folders,
    max_leaves=12,
)
_WHOLE = strategies.builds(
    lambda other: {"0.png": "PNG", "1.png": "PNG", **other},
    strategies.dictionaries(strategies.sampled_from(_FILES), strategies.sampled_from(("PNG", "JPEG")), max_size=3),
)
_CLASS = strategies.one_of(_WHOLE, strategies.builds(lambda whole, other: whole | other, _WHOLE, _ANY))
_SETS = strategies.builds(
    lambda one, two, others: {"train": one | two, "test": one} | others,
    strategies.dictionaries(strategies.sampled_from(_CLASSES), _CLASS, min_size=1, max_size=3),
    strategies.dictionaries(strategies.sampled_from(_CLASSES), _CLASS, max_size=2),
    strategies.dictionaries(strategies.sampled_from(_FOLDERS), _ANY, max_size=2),
)
_ALONE = strategies.dictionaries(strategies.sampled_from(_CLASSES), _CLASS, min_size=1, max_size=4)
TREES = strategies.one_of(_ANY, _SETS, _ALONE)


def write(folder, tree, contents):
    """Writes a tree of {name: tree or the kind of a file}."""
    os.mkdir(folder)
    for name, part in tree.items():
        path = os.path.join(folder, name)
        if isinstance(part, dict):
            write(path, part, contents)
        elif part == "pipe":
            os.mkfifo(path)
        elif part.startswith("to "):
            os.symlink({"to nowhere": "nowhere", "to itself": name, "to above": ".."}[part], path)
        else:
            pathlib.Path(path).write_bytes(contents[part])


def check(root):
    """Reads a tree; "read" or "refused".

    Args:
      root: the folder.

    Raises:
      AssertionError: a file is neither an image nor counted among what is not read, is both, or is in another class.
    """
    try:
        source = own_images.load_folder(root, DataConfig(image_size=8, resize=8))
    except errors.InputError as error:
        said = plain_text.escaped(str(error))
        assert "\n" not in said and plain_text.escaped(root) in said, said
        return "refused"
    images = [path for path, _ in _labelled(source)]
    assert len(set(images)) == len(images)
    found = collections.Counter(map(os.path.dirname, images))
    files_left, folders_left = collections.Counter(), collections.Counter()
    for kind, count in source.not_read.items():
        (folders_left if kind.what.endswith("/") else files_left)[kind.folder] += count
    beside = {kind.what[:-1] for kind in source.not_read if kind.reason == class_folders.BESIDE}
    _check_folder(root, found, files_left, folders_left, beside)
    assert not found and not +files_left and not +folders_left, (found, files_left, folders_left)
    assert not any(os.path.basename(path).startswith(".") for path in images)
    _check_classes(source, root)
    return "read"


def _check_folder(folder, found, files_left, folders_left, beside, depth=0):
    """Each file of the folder is found or left out, and each folder in it is read or left out; counts go to zero."""
    entries = list(os.scandir(folder))
    folders = [entry for entry in entries if not entry.is_symlink() and entry.is_dir()]
    round_about = [entry for entry in entries if entry.is_symlink() and os.path.isdir(entry.path)]
    files = len(entries) - len(folders) - len(round_about)
    assert found.pop(folder, 0) + files_left.pop(folder, 0) == files, folder
    read = [
        entry
        for entry in folders
        if entry.name not in _LEFTOVERS
        and not os.path.isfile(os.path.join(entry.path, "flags.cfg"))
        and not (depth == 0 and entry.name in beside)
    ]
    assert folders_left.pop(folder, 0) == len(folders) - len(read) + len(round_about), folder
    for entry in read:
        _check_folder(entry.path, found, files_left, folders_left, beside, depth + 1)


def _check_classes(source, root):
    """The class of each image is the name of its class folder."""
    depth = 0 if any("has no test set, so" in note for note in source.notes) else 1
    for path, label in _labelled(source):
        name = os.path.relpath(path, root).split(os.sep)[depth]
        assert source.class_names[label] == plain_text.escaped(unicodedata.normalize("NFC", name)), path


def _labelled(source):
    parts = [(source.train_images, source.train_labels), (source.test_images, source.test_labels)]
    parts += [(examples.images, examples.labels) for examples in (source.meta, source.validation) if examples]
    return [
        (os.fsdecode(path), label) for images, labels in parts for path, label in zip(images.paths, labels, strict=True)
    ]


def run(count, progress=None):
    """Reads `count` trees at most; `made_up.count` says what it returns and what `progress` is."""
    samples = image_samples.make()
    contents = {"PNG": samples["PNG"], "JPEG": samples["JPEG"], "empty": b"", "text": b"no image"}

    def read(tree):
        with tempfile.TemporaryDirectory() as place:
            root = os.path.join(place, "data")
            write(root, tree, contents)
            return check(root)

    return made_up.count(count, TREES, read, progress)


if __name__ == "__main__":
    made_up.main(__doc__.splitlines()[0], run)
