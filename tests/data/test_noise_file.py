"""Given labels from files of other people's making."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.labels import noise_file

_TRUE = np.array([0, 1, 2, 3, 0, 1], np.int32)
_GIVEN = [0, 1, 3, 3, 0, 2]


def _torch(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("CIFAR/data.pkl", pickle.dumps(content, 2))
    return str(path)


@pytest.fixture
def human(tmp_path):
    """CIFAR-10N in small."""
    content = {"clean_label": _TRUE.astype(np.int64), "worse_label": np.array(_GIVEN), "aggre_label": _TRUE + 0}
    return _torch(tmp_path / "human.pt", content)


def test_lists_and_vectors(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(_GIVEN))
    np.save(tmp_path / "a.npy", np.array(_GIVEN, np.int64))
    for name in ("a.json", "a.npy"):
        found = noise_file.read(str(tmp_path / name), "", _TRUE, 4)
        np.testing.assert_array_equal(found, _GIVEN)
        assert found.dtype == np.int32


def test_cifar_n(human, tmp_path):
    np.testing.assert_array_equal(noise_file.read(human, "worse_label", _TRUE, 4), _GIVEN)
    np.testing.assert_array_equal(noise_file.read(human, "aggre_label", _TRUE, 4), _TRUE)
    coarse = {"noisy_coarse_label": [0] * 6, "clean_coarse_label": [0] * 6}
    single = _torch(tmp_path / "100.pt", {"clean_label": _TRUE, "noisy_label": np.array(_GIVEN), **coarse})
    np.testing.assert_array_equal(noise_file.read(single, "", _TRUE, 4), _GIVEN)


def test_cifar_n_in_another_order(human):
    with pytest.raises(errors.InputError, match="clean_label differ from the data set's true labels, so the images"):
        noise_file.read(human, "worse_label", _TRUE[::-1].copy(), 4)


def test_keys(human):
    with pytest.raises(
        errors.InputError, match=r"no option `noise_key` with .*human\.pt: expected one of worse_label, aggre_label"
    ):
        noise_file.read(human, "", _TRUE, 4)
    with pytest.raises(errors.InputError, match="option `noise_key`=worst with"):
        noise_file.read(human, "worst", _TRUE, 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "there is no such file"),
        ("a.json", "[0, 1,", "not readable .*expected a list of class ids"),
        ("a.json", "[0, 1, 2]", r"holds shape \(3,\) and dtype int64, expected 6 whole numbers"),
        ("a.json", "[0, 1, 2, 3, 0, 0.5]", "holds no list of whole numbers, expected a class id"),
        ("a.json", "[0, 1, 2, 3, 4, 0]", "entry 4 is 4, expected a class id from 0 to 3"),
        ("a.json", "[0, 1, 2, 3, 0, -1]", "entry 5 is -1"),
        ("a.npy", "no array", "not readable .*expected a list of class ids"),
    ],
)
def test_mistakes(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(errors.InputError, match=message):
        noise_file.read(str(tmp_path / name), "", _TRUE, 4)


def test_objects_in_a_vector_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}] * 6, object), allow_pickle=True)
    with pytest.raises(errors.InputError, match=r"not readable .*expected a list of class ids"):
        noise_file.read(str(tmp_path / "a.npy"), "", _TRUE, 4)
