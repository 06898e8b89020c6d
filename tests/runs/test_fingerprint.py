"""The data of a run and the first thing that has changed in them, case by case, without a run."""

import json

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.runs import fingerprint

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 1), np.uint8)
FILES = (b"/data/train/cat/1.png", b"/data/train/cat/2.png", b"/data/train/dog/3.png", b"/data/train/dog/4.png")
SUMS = tuple(fingerprint.checksums(PIXELS))


def made(names=("cat", "dog"), shape=(2, 2, 1), labels=(0, 0, 1, 1), files=FILES, sums=SUMS, below=6, **others):
    sets = {"training": fingerprint.ExampleSet(labels, files, sums), "test": fingerprint.ExampleSet((0,), None, (7,))}
    return fingerprint.Fingerprint(names, shape, sets | others, below)


@pytest.fixture
def workdir(tmp_path):
    fingerprint.write(tmp_path, made())
    return tmp_path


def test_what_is_written(workdir):
    summary = json.loads((workdir / "data.json").read_text())
    assert summary["class_names"] == ["cat", "dog"] and summary["image_shape"] == [2, 2, 1]
    assert [part["images"] for part in summary["sets"].values()] == [4, 1]
    assert fingerprint.is_known(workdir) and not fingerprint.is_known(workdir / "other")
    assert fingerprint.first_difference(workdir, made()) is None


def test_moved_data_are_the_same(workdir):
    moved = tuple(path.replace(b"/data/", b"/mnt/other/") for path in FILES)
    assert fingerprint.first_difference(workdir, made(files=moved, below=len(b"/mnt/other/"))) is None


RENAMED = tuple(path.replace(b"1.png", b"\xe9\t.png") for path in FILES)
MORE = {"labels": (0, 0, 1, 1, 1), "files": (*FILES, b"/data/train/dog/5.png"), "sums": (*SUMS, 5)}


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"names": ("cat", "doggy")}, "class 'dog' is gone and class 'doggy' is new"),
        ({"names": ("ant", "cat", "dog"), "labels": (1, 1, 2, 2)}, "class 'ant' is new (3 classes, 2 then)"),
        ({"names": ("cat",), "labels": (0, 0, 0, 0)}, "class 'dog' is gone (1 classes, 2 then)"),
        ({"names": ("dog", "cat")}, "class 0 is 'dog', was 'cat'"),
        ({"shape": (4, 4, 1)}, "images of 4x4x1, of 2x2x1 then"),
        (MORE, "training set: 'train/dog/5.png' is new (5 images, 4 then)"),
        (
            {"labels": (0, 0, 1), "files": FILES[:3], "sums": SUMS[:3]},
            "training set: 'train/dog/4.png' is gone (3 images, 4 then)",
        ),
        ({"files": RENAMED}, r"training set: 'train/cat/1.png' is gone and 'train/cat/\\xe9\\t.png' is new"),
        ({"labels": (0, 1, 1, 1)}, "training set: 'train/cat/2.png' has the label 'dog', had 'cat'"),
        ({"sums": (*SUMS[:3], 5)}, "training set: 'train/dog/4.png' has other pixels"),
        (
            {"files": (*FILES[:2], *FILES[:1:-1]), "sums": (*SUMS[:2], *SUMS[:1:-1])},
            "training set: another order or other repetitions",
        ),
        ({"meta": fingerprint.ExampleSet((0,), None, (7,))}, "the meta set is new"),
        ({"test": fingerprint.ExampleSet((0,), None, (8,))}, "test set: image 0 has other pixels"),
        ({"test": fingerprint.ExampleSet((1,), None, (7,))}, "test set: image 0 has the label 'dog', had 'cat'"),
        ({"test": fingerprint.ExampleSet((0, 0), None, (7, 7))}, "test set: other images (2 images, 1 then)"),
    ],
)
def test_the_first_difference_is_named(workdir, changes, difference):
    assert fingerprint.first_difference(workdir, made(**changes)) == difference


def test_a_set_that_is_gone(workdir):
    now = made()
    only = fingerprint.Fingerprint(now.class_names, now.image_shape, {"training": now.sets["training"]}, 6)
    assert fingerprint.first_difference(workdir, only) == "the test set is gone"
    assert fingerprint.first_difference(workdir, only, ("training",)) is None


def test_what_the_run_was_trained_on(workdir):
    by_pixels = fingerprint.ExampleSet((1,), (b"/data/test/dog/9.png",), SUMS[3:])
    assert fingerprint.trained_on(workdir, made(test=by_pixels), ["test"]) == ["test/dog/9.png"]
    by_name = fingerprint.ExampleSet((1, 1), (FILES[3], b"/data/train/dog/9.png"))
    assert fingerprint.trained_on(workdir, made(test=by_name), ["test"]) == ["train/dog/4.png"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"sets": {"training": 1}}', b'{"sets": {}}'])
def test_a_damaged_summary_is_one_line(workdir, content):
    (workdir / "data.json").write_bytes(content)
    with pytest.raises(errors.InputError, match=r"data\.json: damaged; expected what the run has written") as caught:
        fingerprint.first_difference(workdir, made())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no gzip", b"\x1f\x8b\x08"])
def test_without_the_list_it_is_refused_with_fewer_words(workdir, content):
    rows = workdir / "data.tsv.gz"
    rows.unlink()
    if content is not None:
        rows.write_bytes(content)
    assert fingerprint.first_difference(workdir, made()) is None
    said = "training set: other images or labels (5 images, 4 then)"
    assert fingerprint.first_difference(workdir, made(**MORE)) == said
