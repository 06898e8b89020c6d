"""The normalised classifier: its logits, its gradients at zero features, and that it is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import errors, networks
from famus_tf.networks import ends


def test_cosines_times_the_scale():
    layer = ends.CosineClassifier(4, scale=7.0)
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    found = layer(features)
    kernel = layer.kernel.numpy()
    expected = [[7 * x @ k / np.linalg.norm(x) / np.linalg.norm(k) for k in kernel.T] for x in features]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(layer(100 * features), found, rtol=1e-5)
    layer.kernel.assign(3 * kernel)
    np.testing.assert_allclose(layer(features), found, rtol=1e-5)


def test_zero_features_have_finite_gradients():
    layer, features = ends.CosineClassifier(4), tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = layer(features)
    np.testing.assert_array_equal(logits, np.zeros((2, 4)))
    assert np.isfinite(tape.gradient(logits, features)).all()


@pytest.mark.parametrize("name", networks.BUILDERS)
def test_every_network_can_have_it(name, tmp_path):
    size = 80 if name == "inception_resnet_v2" else 32
    if name in ("wrn28_10", "inception_resnet_v2"):
        pytest.skip("large; its builder is that of wrn40_2 or of resnet50")
    network = networks.build(name, (size, size, 3), 5, [100.0] * 3, [50.0] * 3, head="cosine")
    last = network.layers[-1]
    assert isinstance(last, famus_tf.CosineClassifier) and last.dtype == "float32"
    assert [variable.name for variable in last.variables] == ["kernel"]
    assert np.abs(network(np.zeros((1, size, size, 3)))).max() <= 30.001
    if name == "small_preact":
        network.save(tmp_path / "a.keras")
        again = networks.build(str(tmp_path / "a.keras"), (size, size, 3), 5, [0.0] * 3, [1.0] * 3, head="cosine")
        images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3))
        np.testing.assert_array_equal(again(images), network(images))
        images = keras.Input((size, size, 3))
        keras.Model(images, keras.layers.Dense(5, name="end")(keras.layers.Flatten()(images))).save(
            tmp_path / "b.keras"
        )
        with pytest.raises(
            errors.InputError, match=r"with option `loss`=ldam: ends in layer 'end'; expected a famus_tf\.Cosine"
        ):
            networks.build(str(tmp_path / "b.keras"), (size, size, 3), 5, [0.0] * 3, [1.0] * 3, head="cosine")
