"""`famus_tf.CoDivide`: Algorithm 2 on arrays finds the labels that are right, and says what it cannot use."""

import keras
import numpy as np
import pytest

import famus_tf


def _data(count=96, wrong=0.4):
    """Images whose brightest quarter tells the class; labels of which some are redrawn; which are right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, 4, 4, 1), np.uint8)
    for image, label in zip(images, truth, strict=True):
        image[2 * (label // 2) : 2 * (label // 2) + 2, 2 * (label % 2) : 2 * (label % 2) + 2] += 150
    labels = np.where(rng.random(count) < wrong, rng.integers(0, 4, count), truth)
    return images, labels, truth


def _method(seed, rate=0.5, **options):
    keras.utils.set_random_seed(seed)
    images = keras.Input((4, 4, 1))
    x = keras.layers.Rescaling(1 / 255)(images)
    network = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    learner = options.pop("meta_learner", None)
    method = famus_tf.FaMUS(network, learner, famus_tf.AllLayers())
    method.compile(keras.optimizers.SGD(rate), **options)
    return method


def test_right_labels_are_found_without_a_trusted_one():
    images, labels, truth = _data()
    co_divide = famus_tf.CoDivide([_method(0), _method(1)], warmup_epochs=4, lambda_u=1.0)
    history = co_divide.fit(images, labels, 8, batch_size=8, validation_data=(images, truth), is_clean=labels == truth)
    assert [entry["epoch"] for entry in history] == list(range(1, 9)) and "split" not in history[3]
    assert history[-1]["val_accuracy"] > 0.95
    for split, quality in zip(co_divide.splits, history[-1]["split"], strict=True):
        assert quality["auc"] > 0.9 and split.clean.shape == labels.shape
    right = co_divide.network.predict(images, verbose=0).argmax(axis=1) == truth
    assert right.mean() == history[-1]["val_accuracy"]


def test_cross_entropy_for_a_learner_is_divide_mix():
    images, labels, _ = _data(32)
    methods = [_method(seed, meta_learner=famus_tf.CrossEntropy()) for seed in range(2)]
    history = famus_tf.CoDivide(methods, seed=3).fit(images, labels, 2, batch_size=4)
    assert np.isfinite(history[-1]["loss"]).all()


def test_the_learning_rate_is_a_function_of_the_epoch():
    images, labels, _ = _data(32)
    methods = [_method(seed, meta_learner=famus_tf.CrossEntropy()) for seed in range(2)]
    before = [method.network.get_weights() for method in methods]
    famus_tf.CoDivide(methods, semi_supervised=False).fit(
        images, labels, 2, batch_size=4, learning_rate=lambda epoch: 0.0
    )
    for method, known in zip(methods, before, strict=True):
        np.testing.assert_array_equal(method.network.get_weights()[0], known[0])


def test_what_it_cannot_use():
    images, labels, _ = _data(32)
    with pytest.raises(famus_tf.InputError, match=r"CoDivide\(\[FaMUS\]\): expected two compiled"):
        famus_tf.CoDivide([_method(0)])
    one = _method(0)
    with pytest.raises(famus_tf.InputError, match="the same network twice"):
        famus_tf.CoDivide([one, one])
    focal = famus_tf.MWNet(loss=famus_tf.losses.Focal())
    with pytest.raises(famus_tf.InputError, match=r"MWNet\(loss=\.\.\.\): expected none"):
        famus_tf.CoDivide([one, _method(1, meta_learner=focal)])

    def fit(*data, methods=None, **options):
        famus_tf.CoDivide(methods or [_method(0), _method(1)]).fit(*data, 2, **options)

    with pytest.raises(famus_tf.InputError, match=r"training data: images of type float32 .*expected uint8"):
        fit(images.astype("float32"), labels)
    with pytest.raises(famus_tf.InputError, match="label 0 is 4; expected class ids 0 to 3"):
        fit(images, np.full(32, 4))
    with pytest.raises(famus_tf.InputError, match=r"validation_data: .* images and .* labels"):
        fit(images, labels, validation_data=(images, labels[:3]))
    with pytest.raises(famus_tf.InputError, match="compiled with metrics: expected none"):
        fit(images, labels, methods=[_method(0), _method(1, metrics=["accuracy"])])
    with pytest.raises(famus_tf.InputError, match="a schedule as learning rate"):
        fit(images, labels, methods=[_method(0), _method(1, keras.optimizers.schedules.CosineDecay(0.1, 5))])
    with pytest.raises(famus_tf.InputError, match="training examples in an epoch"):
        fit(images, labels, batch_size=32)
    one.fit(images, labels, meta_data=(images, labels), verbose=0)
    with pytest.raises(famus_tf.InputError, match="compiled and not trained"):
        fit(images, labels, methods=[one, _method(1)])
