"""Each data set's flag file through the real command line, on a small tree in the set's own layout."""

import gzip
import json
import pathlib
import pickle

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from famus_tf.data.sets import cifar
from tests import small_networks

FLAGS = pathlib.Path(__file__).resolve().parents[2] / "flags"


def _cifar(root, name, per_class):
    """The Python form; colours go by class, so that there is something to learn."""
    count = 10 if name == "cifar10" else 100
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 200, (count, 3, 1), np.uint8)
    folder = root / ("cifar-10-batches-py" if name == "cifar10" else "cifar-100-python")
    folder.mkdir(parents=True)
    files = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"] if name == "cifar10" else ["train", "test"]
    for file in files:
        labels = rng.permutation(np.repeat(np.arange(count), 4 if "test" in file else per_class))
        noise = rng.integers(0, 56, (len(labels), 3, 1024), np.uint8)
        content = {b"data": (colours[labels] + noise).reshape(-1, 3072)}
        if name == "cifar10":
            content[b"labels"] = labels.tolist()
        else:
            coarse = np.array(cifar.CIFAR100_SUPERCLASSES)[labels]
            content |= {b"fine_labels": labels.tolist(), b"coarse_labels": coarse.tolist()}
        (folder / file).write_bytes(pickle.dumps(content, 2))


def fashion_mnist_tree(root, training_images=30):
    """IDX files, so many training images of each class; shades go by class."""
    rng = np.random.default_rng(0)
    root.mkdir()
    for part, per_class in (("train", training_images), ("t10k", 4)):
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
        images = rng.integers(0, 56, (len(labels), 28, 28), np.uint8) + 20 * labels[:, np.newaxis, np.newaxis]
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (root / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))


def _folders(root, counts, sides=(150, 300)):
    """PNG and JPEG files of several sizes; colours go by class."""
    rng = np.random.default_rng(0)
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        for k in range(count):
            size = rng.integers(*sides, 2)
            picture = rng.integers(0, 56, (*size, 3)) + 50 * (number % 3)
            PIL.Image.fromarray(picture.astype(np.uint8)).save(root / folder / f"{k}.{('png', 'jpg')[k % 2]}")


_FOLDERS = {f"{split}/{name}": count for split, count in (("train", 18), ("test", 3)) for name in ("cat", "dog", "owl")}


@pytest.mark.parametrize(
    ("flag_file", "make_tree", "changes", "expected"),
    [
        (
            "cifar10_noisy.cfg",
            lambda root: _cifar(root, "cifar10", per_class=12),
            ["--meta_per_class=20"],
            {"dataset": "cifar10", "classes": 10, "rate": 0.54},
        ),
        (
            "cifar100_noisy.cfg",
            lambda root: _cifar(root, "cifar100", per_class=12),
            [],
            {"dataset": "cifar100", "classes": 100, "rate": 0.594},
        ),
        (
            "cifar10_longtail.cfg",
            lambda root: _cifar(root, "cifar10", per_class=12),
            ["--imbalance=10"],
            {"dataset": "cifar10", "classes": 10, "rate": 0.0, "counts": "5 to 50"},
        ),
        (
            "cifar100_longtail.cfg",
            lambda root: _cifar(root, "cifar100", per_class=30),
            ["--imbalance=10"],
            {"dataset": "cifar100", "classes": 100, "rate": 0.0, "counts": "2 to 20"},
        ),
        (
            "folder.cfg",
            lambda root: _folders(root, _FOLDERS),
            ["--meta_per_class=6", "--image_size=64"],
            {"dataset": "folder", "classes": 3, "rate": None},
        ),
        (
            "cifar10_pseudo_clean.cfg",
            lambda root: _cifar(root, "cifar10", per_class=12),
            [],
            {"dataset": "cifar10", "classes": 10, "rate": 0.54},
        ),
        (
            "cifar100_pseudo_clean.cfg",
            lambda root: _cifar(root, "cifar100", per_class=12),
            ["--method=cross_entropy"],  # without the meta steps, whose tracing takes the longest
            {"dataset": "cifar100", "classes": 100, "rate": 0.594},
        ),
        (
            "fashion_mnist_pseudo_clean.cfg",
            fashion_mnist_tree,
            ["--train_limit=200", "--method=cross_entropy"],
            {"dataset": "fashion_mnist", "classes": 10, "rate": 0.54},
        ),
    ],
)
def test_flag_file_on_a_small_tree(flag_file, make_tree, changes, expected, tmp_path, capsys):
    make_tree(tmp_path / "data")
    command = [*_debug(flag_file), *changes]
    if flag_file not in ("cifar10_noisy.cfg", "cifar10_longtail.cfg"):  # whose runs are just as debug.cfg shrinks them
        size = {"folder.cfg": (64, 64, 3), "fashion_mnist_pseudo_clean.cfg": (28, 28, 1)}.get(flag_file, (32, 32, 3))
        network = small_networks.save_convolutions(tmp_path / "a.keras", True, size, expected["classes"])
        command.append(f"--network={network}")
    assert main.main([*command, *_places(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{expected['dataset']}: " in said and f"in {expected['classes']} classes" in said
    if "counts" in expected:
        assert f"in {expected['classes']} classes of {expected['counts']}," in said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["dataset"] == expected["dataset"] and len(results["history"]) == 2
    if "pseudo_clean" in flag_file:
        splits = results["history"][-1]["split"]
        assert len(results["networks"]) == len(splits) == 2
        assert all(split["clean"] + split["noisy"] == 32 and "precision" in split for split in splits)
        # Two batches of 16 in the warm-up, then one of each 8 pseudo-clean images.
        assert results["steps"] == 2 * 2 + sum(split["clean"] // 8 for split in splits)
    else:
        assert results["steps"] == 8 and "networks" not in results
    if expected["rate"] is None:
        assert results["actual_noise_rate"] is None and "true labels not known" in said
    else:
        assert results["actual_noise_rate"] == pytest.approx(expected["rate"], abs=0.08)
        assert f"{results['actual_noise_rate']:.2%} of the labels wrong" in said
    if expected["dataset"] == "folder":
        assert main.main([*command, *_places(tmp_path), "--mode=prepare"]) == 0
        assert f"{tmp_path / 'data'}_short73: 63 images scaled, 0 that are not larger" in capsys.readouterr().out
    assert main.main([*command, *_places(tmp_path), "--mode=inspect"]) == 0
    read_from_copy = f"{tmp_path / 'data'}_short73: its scaled images are read" in capsys.readouterr().out
    assert read_from_copy == (expected["dataset"] == "folder")
    assert (tmp_path / "run" / "examples.png").exists()


def _places(root):
    return f"--data_dir={root / 'data'}", f"--workdir={root / 'run'}"


def _debug(flag_file):
    return ["main.py", f"--flagfile={FLAGS / flag_file}", f"--flagfile={FLAGS / 'debug.cfg'}"]


@pytest.mark.parametrize(("broken", "size"), [("train/cat/1.jpg", 64), ("test/owl/2.png", 64), ("train/cat/1.jpg", 0)])
def test_broken_image_is_named(broken, size, tmp_path, capsys):
    """Of files that are decoded while training, and of small ones that are decoded before."""
    _folders(tmp_path / "data", _FOLDERS, sides=(150, 300) if size else (60, 90))
    path = tmp_path / "data" / broken
    options = [f"--image_size={size}", "--meta_per_class=6"]
    # Its head is whole, so that nobody notices before it is decoded.
    path.write_bytes(path.read_bytes()[: 3000 if size else 900])
    assert main.main([*_debug("folder.cfg"), *options, *_places(tmp_path), "--mode=inspect"]) == 0
    said = capsys.readouterr().out
    assert "1 broken or missing" in said and f"{path}: not a readable image" in said
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())["files"]
    assert [file for part in found.values() for file in part["broken"]] == [str(path)]
    assert main.main([*_debug("folder.cfg"), *options, *_places(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}: not a readable image" in said and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("famus_tf: error: ")


def test_broken_images_are_skipped_and_listed(tmp_path, capsys):
    counts = {
        f"{split}/{name}": count for split, count in (("train", 52), ("test", 20)) for name in ("cat", "dog", "owl")
    }
    _folders(tmp_path / "data", counts)
    broken = [tmp_path / "data" / name for name in ("train/cat/1.jpg", "test/owl/2.png")]
    for path in broken:
        path.write_bytes(path.read_bytes()[:3000])
    # Epochs of all images, so that the broken ones are met with.
    options = ["--batch_size=16", "--batches_per_epoch=0", "--image_size=32", "--meta_per_class=6", *_places(tmp_path)]
    options.append("--on_bad_image=skip")
    assert main.main([*_debug("folder.cfg"), *options]) == 0
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["steps"] == 18 and results["skipped_images"] == 2  # 2 of 6 trusted images of a class are trained on
    assert "2 image files that cannot be read were skipped: bad_images.csv" in said
    listed = (tmp_path / "run" / "bad_images.csv").read_text()
    assert all(f"{path}," in listed for path in broken)
    assert main.main([*_debug("folder.cfg"), *options, "--mode=evaluate"]) == 0
    said = capsys.readouterr().out
    assert f"test accuracy {results['test_accuracy']['last']:.4f}" in said and "59 images" in said
    for number in (3, 5):
        (tmp_path / "data" / "train" / "dog" / f"{number}.jpg").write_bytes(b"")
    assert main.main([*_debug("folder.cfg"), *options, f"--workdir={tmp_path / 'again'}"]) == 2
    said = capsys.readouterr().err
    assert "expected at most 1%" in said and "Traceback" not in said


@pytest.mark.parametrize("flag_file", ["cifar10_noisy.cfg", "cifar100_noisy.cfg"])
def test_layout_that_is_not_there(flag_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "data").mkdir()
    command = ["main.py", f"--flagfile={FLAGS / flag_file}", f"--data_dir={tmp_path / 'data'}"]
    assert main.main([*command, f"--workdir={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err
    name = flag_file.partition("_")[0]
    assert f"{name} was not found in {tmp_path / 'data'}" in said
    assert "expected in --data_dir cifar-" in said and said.count("\n") == 1
    assert not (tmp_path / "run" / "results.json").exists()
