"""Runs that train on part of the meta set: what is left of it, export, own images, runs that went before the flag."""

import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from sklearn import datasets

from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import modes
from tests import small_networks

FLAGS = {
    "dataset": "digits",
    "noise": "symmetric",
    "noise_rate": 0.6,
    "batch_size": 16,
    "meta_batch_size": 16,
    "train_limit": 80,
    "meta_per_class": 4,
    "epochs": 1,
    "selector": "block",
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return small_networks.save_convolutions(tmp_path_factory.mktemp("networks") / "small.keras", count=2)


def run(workdir, network, **changes):
    modes.run(config.from_values(FLAGS | {"network": network, "workdir": str(workdir)} | changes))


@pytest.mark.parametrize("method", ["memory_weight_net", "soft_labels", "cmw_net", "cross_entropy"])
def test_export_knows_of_them(tmp_path, network, method, capsys):
    share = {} if method == "memory_weight_net" else {"probe_share": 0.5}
    run(tmp_path / "run", network, method=method, **share)
    said = capsys.readouterr().out
    assert "(20 of them trusted)" in said
    shares = re.findall(r"(score|probability|loss) (\d+)%", said.partition("  trust is made of ")[2])
    assert [name for name, _ in shares] == ["score", "probability", "loss"][: 3 * (method == "memory_weight_net")]
    assert not shares or abs(sum(int(share) for _, share in shares) - 100) <= 2
    assert "--probe_share=" in (tmp_path / "run" / "flags.cfg").read_text()
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    logits = []
    for mode in ("train", "export"):
        if mode == "export":
            run(tmp_path / "run", network, method=method, mode="export", **share)
        loaded = tf.saved_model.load(str(tmp_path / "run" / "export"))
        logits.append(loaded.signatures["serving_default"](images=tf.constant(images))["logits"].numpy())
    np.testing.assert_array_equal(*logits)


def test_a_meta_batch_larger_than_what_is_left_is_named(tmp_path, network):
    sentence = (
        "--meta_batch_size=32: expected at most the 20 trusted images there are besides the 20 that --probe_share"
    )
    with pytest.raises(errors.InputError, match=re.escape(sentence)):
        run(tmp_path / "run", network, method="memory_weight_net", meta_batch_size=32)


def test_inspection_tells_of_them(tmp_path, network, capsys):
    run(tmp_path / "run", network, method="memory_weight_net", mode="inspect")
    assert "of the meta set a share of 0.4 is trained on instead" in capsys.readouterr().out


def test_batches_of_own_images_fit_what_is_left(tmp_path, network, capsys):
    digits = datasets.load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:150], digits.target, strict=False)):
        place = tmp_path / "images" / ("test" if number < 30 else "meta" if number < 70 else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray((image * 15).astype(np.uint8)).save(place / f"{number}.png")
    own = {"dataset": "folder", "data_dir": str(tmp_path / "images"), "train_limit": 0}
    own |= {"noise": "none", "noise_rate": 0.0}
    run(tmp_path / "run", network, method="memory_weight_net", meta_batch_size=32, **own)
    said = capsys.readouterr().out
    moved = int(re.search(r"training images \((\d+) of them trusted\)", said).group(1))
    assert (
        f"--meta_batch_size=32 is more than the {40 - moved} trusted images there are: {40 - moved} are taken" in said
    )
