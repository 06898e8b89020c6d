"""CIFAR in the forms that people have on disk, small."""

import pickle
import tarfile

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.formats import prepared
from famus_tf.data.sets import cifar

_LOAD = {"cifar10": cifar.load_cifar10, "cifar100": cifar.load_cifar100}
_PYTHON = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_BINARY = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}


@pytest.fixture(autouse=True)
def _nothing_elsewhere(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    monkeypatch.setattr(prepared, "read", lambda name, data_dir: None)


def _examples(name):
    """Files in order: {file name: (planes [n, 3072], labels, coarse labels)}."""
    rng, count = np.random.default_rng(0), 10 if name == "cifar10" else 100
    files = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"] if name == "cifar10" else ["train", "test"]
    made = {}
    for file in files:
        labels = rng.permutation(np.arange(2 * count) % count)
        made[file] = rng.integers(0, 256, (2 * count, 3072), np.uint8), labels, np.array(labels) % 20
    return made


def _write(folder, name, form):
    folder.mkdir(parents=True)
    for file, (planes, labels, coarse) in _examples(name).items():
        if form == "binary":
            columns = [labels[:, None], planes] if name == "cifar10" else [coarse[:, None], labels[:, None], planes]
            (folder / f"{file}.bin").write_bytes(np.concatenate(columns, 1).astype(np.uint8).tobytes())
        else:
            keys = {b"labels": labels.tolist()}
            if name == "cifar100":
                keys = {b"fine_labels": labels.tolist(), b"coarse_labels": coarse.tolist()}
            (folder / file).write_bytes(pickle.dumps({b"data": planes, **keys}, 2))
    return folder


def _check(source, name):
    made = _examples(name)
    for split, files in (("train", list(made)[:-1]), ("test", list(made)[-1:])):
        images, labels = getattr(source, f"{split}_images"), getattr(source, f"{split}_labels")
        position = 0
        for file in files:
            planes, given, _ = made[file]
            for plane, label in zip(planes, given, strict=True):
                for channel in range(3):
                    expected = plane[1024 * channel : 1024 * (channel + 1)].reshape(32, 32)
                    np.testing.assert_array_equal(images[position, ..., channel], expected)
                assert labels[position] == label
                position += 1
        assert position == len(images) == len(labels) and images.dtype == np.uint8


@pytest.mark.parametrize("name", list(_LOAD))
@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("place", ["parent", "itself", "tar", "tar itself", "keras"])
def test_forms_and_places(name, form, place, tmp_path, monkeypatch):
    folder = {"python": _PYTHON, "binary": _BINARY}[form][name]
    archive = {
        "python": f"{name.replace('cifar', 'cifar-')}-python",
        "binary": f"{name.replace('cifar', 'cifar-')}-binary",
    }
    data_dir = tmp_path
    if place.startswith("tar"):
        made = _write(tmp_path / "made" / folder, name, form)
        with tarfile.open(tmp_path / f"{archive[form]}.tar.gz", "w:gz") as tar:
            tar.add(made, folder)
        data_dir = tmp_path / f"{archive[form]}.tar.gz" if place == "tar itself" else tmp_path
    elif place == "keras":
        if form == "binary":
            pytest.skip("Keras keeps the Python form")
        below = "cifar-10-batches-py-target" if name == "cifar10" else "cifar-100-python-target"
        _write(tmp_path / "datasets" / below / folder, name, form)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        data_dir = None
    else:
        made = _write(tmp_path / folder, name, form)
        data_dir = made if place == "itself" else tmp_path
    source = _LOAD[name](str(data_dir) if data_dir else None)
    _check(source, name)
    assert (source.name, source.crop_padding, source.padding_mode, source.flip) == (name, 4, "reflect", True)
    assert len(source.class_names) == source.classes.count == (10 if name == "cifar10" else 100)


def test_class_tables():
    assert sorted(cifar._CIFAR100_NAMES) == list(cifar._CIFAR100_NAMES)
    groups = {}
    for name, group in zip(cifar._CIFAR100_NAMES, cifar.CIFAR100_SUPERCLASSES, strict=True):
        groups.setdefault(group, set()).add(name)
    assert {"beaver", "dolphin", "otter", "seal", "whale"} in groups.values()
    assert {"maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"} in groups.values()


def test_nowhere(tmp_path):
    with pytest.raises(errors.InputError) as caught:
        cifar.load_cifar10(str(tmp_path))
    for part in (
        str(tmp_path),
        "cifar-10-batches-py/ with data_batch_1",
        "test_batch",
        ".bin",
        "cifar-10-python.tar.gz",
    ):
        assert part in str(caught.value)


def test_prepared_by_tensorflow_datasets(monkeypatch):
    monkeypatch.undo()
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")
    with tfds.testing.mock_data(num_examples=7, policy=tfds.testing.MockPolicy.USE_CODE):
        monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
        for name, count in (("cifar10", 10), ("cifar100", 100)):
            source = _LOAD[name]()
            assert source.train_images.shape == (7, 32, 32, 3) and source.train_images.dtype == np.uint8
            assert source.train_labels.dtype == np.int32 and source.classes.count == count


def test_missing_and_broken_files(tmp_path):
    folder = _write(tmp_path / "cifar-10-batches-py", "cifar10", "python")
    whole = (folder / "data_batch_3").read_bytes()
    for content, message in (
        (whole[:100], "data_batch_3: not readable .*expected a pickle"),
        (pickle.dumps([1]), "data_batch_3: holds list, expected a dict with b'data' and b'labels'"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}), r"images of shape \(2, 5\)"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), "labels range from 0 to 10"),
    ):
        (folder / "data_batch_3").write_bytes(content)
        with pytest.raises(errors.InputError, match=message):
            cifar.load_cifar10(str(tmp_path))
    (folder / "data_batch_3").unlink()
    with pytest.raises(errors.InputError, match="data_batch_3 is missing, expected data_batch_1, data_batch_2"):
        cifar.load_cifar10(str(tmp_path))
    binary = _write(tmp_path / "b" / "cifar-100-binary", "cifar100", "binary")
    (binary / "train.bin").write_bytes(b"x" * 5000)
    with pytest.raises(errors.InputError, match=r"train\.bin: 5000 bytes, expected a multiple of 3074"):
        cifar.load_cifar100(str(tmp_path / "b"))


def test_malicious_batch(tmp_path):
    folder = _write(tmp_path / "cifar-100-python", "cifar100", "python")
    (folder / "train").write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    with pytest.raises(errors.InputError, match=r"asks for os\.system, which could run code; refused"):
        cifar.load_cifar100(str(tmp_path))
