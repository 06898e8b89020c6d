"""Arrays and batches that `fit` is given: what is trained on, and what is refused in one sentence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.methods import fit_data, two_networks
from tests import small_methods as methods
from tests.small_methods import IMAGES, LABELS


def _plain(**options):
    """Not traced, which takes most of a small test's time."""
    return methods.plain(run_eagerly=True, **options)


def _exact():
    return methods.exact(run_eagerly=True)


def _with_nan(position):
    images = IMAGES.copy()
    images[position, 0, 0] = np.nan
    return images


def _with_label(label, position=3, dtype="int64"):
    labels = LABELS.astype(dtype)
    labels[position] = label
    return labels


BAD = {
    "label 3 of 3": (IMAGES, _with_label(3), "label 3 is 3; expected class ids 0 to 2"),
    "label -1": (IMAGES, _with_label(-1), "label 3 is -1; expected class ids 0 to 2"),
    "half a label": (IMAGES, _with_label(0.5, dtype="float32"), "label 3 is 0.5; expected class ids"),
    "a label that is NaN": (IMAGES, _with_label(np.nan, dtype="float32"), "label 3 is nan; expected class ids"),
    "text": (IMAGES, LABELS.astype(str), "labels of type <U.*expected class ids"),
    "NaN": (_with_nan(5), LABELS, "image 5 holds NaN or infinity"),
    "fewer labels": (IMAGES, LABELS[:-1], "32 images and 31 labels"),
    "none": (IMAGES[:0], LABELS[:0], "0 images and 0 labels"),
    "other classes": (IMAGES, np.eye(4)[LABELS], r"labels of shape \(32, 4\)"),
    "no distribution": (IMAGES, np.eye(3)[LABELS] * 2, "label 0 sums to 2; expected distributions"),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_cannot_be_trained_on(name):
    images, labels, expected = BAD[name]
    with pytest.raises(famus_tf.InputError, match=f"training data: {expected}"):
        _plain().fit(images, labels, verbose=0)
    with pytest.raises(famus_tf.InputError, match=f"meta_data: {expected}"):
        _exact().fit(IMAGES, LABELS, meta_data=(images, labels), verbose=0)
    with pytest.raises(famus_tf.InputError, match=f"data to evaluate: {expected}"):
        _plain().fit(IMAGES, LABELS, validation_data=(images, labels), verbose=0)


LOSSES = {
    "cross-entropy": None,
    "focal": famus_tf.losses.Focal(),
    "sigmoid focal": famus_tf.losses.SigmoidFocal(),
    "ldam": famus_tf.losses.LDAM([3, 2, 1]),
    "weighted": famus_tf.losses.ClassWeighted(famus_tf.losses.Focal(), [1.0, 2.0, 3.0]),
    "semi-supervised": famus_tf.losses.SemiSupervised(),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_under_every_loss(name, label):
    """In batches, and where a step is called by hand: never a loss that is a number."""
    method = famus_tf.FaMUS(methods.network(), famus_tf.CrossEntropy(loss=LOSSES[name]))
    method.compile("sgd", run_eagerly=True)
    labels = _with_label(label)
    expected = f"label {label}; expected class ids 0 to 2, one of the network's 3 outputs each"
    with pytest.raises(famus_tf.InputError, match=expected):
        method.fit(methods.batches(IMAGES, labels), verbose=0)
    with pytest.raises(famus_tf.InputError, match=expected):
        method.evaluate(methods.batches(IMAGES, labels), verbose=0)
    try:
        assert np.isnan(float(method.step((IMAGES, labels))["loss"]))
    except tf.errors.InvalidArgumentError as error:
        assert "label value" in str(error)


def test_a_label_that_is_no_class_in_a_generator_and_in_the_meta_set():
    def generate():
        yield IMAGES, _with_label(7)

    with pytest.raises(famus_tf.InputError, match="label 7; expected class ids 0 to 2"):
        _plain().fit(generate(), verbose=0)
    wrong = tf.data.Dataset.zip(methods.batches(), methods.batches(IMAGES, _with_label(7)))
    with pytest.raises(famus_tf.InputError, match="label 7; expected class ids 0 to 2"):
        _exact().fit(wrong, verbose=0)
    with pytest.raises(famus_tf.InputError, match="label 7; expected class ids 0 to 2"):
        _plain().train_on_batch(IMAGES, _with_label(7))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"])
def test_class_ids_of_any_whole_type(dtype):
    results = []
    for labels in (LABELS, LABELS.astype(dtype), LABELS.astype(dtype)[:, np.newaxis]):
        method = _plain(metrics=["accuracy"])
        results.append(method.train_on_batch(IMAGES, labels))
        assert method.evaluate(methods.batches(IMAGES, labels), verbose=0)
    np.testing.assert_array_equal(results, results[:1] * 3)


def test_class_ids_that_are_floats():
    """Whole ones in an array are ids, as in Keras; in batches their values are not known when the step is made."""
    histories = [_plain().fit(IMAGES, labels, shuffle=False, verbose=0) for labels in (LABELS, LABELS * 1.0)]
    assert histories[0].history == histories[1].history
    with pytest.raises(famus_tf.InputError, match=r"labels of type float32 .*expected class ids of a whole type"):
        _plain().fit(methods.batches(IMAGES, LABELS.astype("float32")), verbose=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_no_numbers_in_batches(value):
    """ReLU makes 0 of NaN: the loss alone would not tell."""
    images = np.where(np.isnan(_with_nan(20)), np.float32(value), IMAGES)
    for method, data in (
        (_plain(), methods.batches(images, LABELS)),
        (_exact(), tf.data.Dataset.zip(methods.batches(), methods.batches(images, LABELS))),
    ):
        with pytest.raises(famus_tf.InputError, match="images that hold NaN or infinity"):
            method.fit(data, verbose=0)


def test_plain_training_on_arrays_is_keras_own():
    method, model = methods.plain(), methods.network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, jit_compile=False)
    for trained in (method, model):
        keras.utils.set_random_seed(1)
        trained.fit(IMAGES, LABELS, batch_size=8, epochs=2, validation_split=0.25, verbose=0)
    for found, expected in zip(methods.weights(method.network), methods.weights(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    seen = ~np.isnan(method.example_weights_)
    np.testing.assert_array_equal(seen, np.arange(32) < 24)
    assert (method.example_weights_[:24] == 1).all()


def test_arrays_with_a_meta_set_are_batches_of_both():
    by_hand = _exact()
    training = methods.batches(IMAGES, LABELS, np.arange(32))
    meta = methods.batches(IMAGES[:8], LABELS[:8], size=4).repeat()
    by_hand.keep_example_weights(32)
    by_hand.fit(tf.data.Dataset.zip(training, meta), epochs=2, verbose=0)
    for options in (
        {"x": IMAGES, "y": LABELS, "meta_data": (IMAGES[:8], LABELS[:8]), "batch_size": 8, "meta_batch_size": 4},
        {"x": training, "meta_data": methods.batches(IMAGES[:8], LABELS[:8], size=4)},
        {"x": training, "meta_data": (IMAGES[:8], LABELS[:8]), "meta_batch_size": 4},
    ):
        method = _exact()
        method.keep_example_weights(32)
        method.fit(**options, epochs=2, shuffle=False, verbose=0)
        for found, expected in zip(methods.weights(method), methods.weights(by_hand), strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(method.example_weights_, by_hand.example_weights_)
    assert np.isfinite(method.example_weights_).all()


def test_arrays_are_shuffled_anew_in_each_epoch():
    known = fit_data.arrays(IMAGES, LABELS, 3, "")
    options = {"batch_size": 5, "meta_batch_size": 3, "num_classes": 3}
    made = fit_data.pairs(known, known, **options, shuffle=True)
    orders = [[tuple(training[2].numpy()) for training, _ in made] for _ in range(2)]
    assert orders[0] != orders[1] and len(orders[0]) == 6, "the remainder of 2 is left out"
    for training, meta in made.take(2):
        np.testing.assert_array_equal(training[1], LABELS[training[2].numpy()])
        np.testing.assert_array_equal(meta[0], IMAGES[meta[2].numpy()])
    small = fit_data.pairs(
        known,
        fit_data.arrays(IMAGES[:2], LABELS[:2], 3, ""),
        shuffle=True,
        num_classes=3,
        batch_size=None,
        meta_batch_size=None,
    )
    assert [(len(training[1]), len(meta[1])) for training, meta in small] == [(32, 2)]


def test_what_a_meta_set_needs():
    with pytest.raises(famus_tf.InputError, match=r"without meta_data: expected trusted examples"):
        _exact().fit(IMAGES, LABELS)
    with pytest.raises(famus_tf.InputError, match="has no meta step here; expected none"):
        _plain().fit(IMAGES, LABELS, meta_data=(IMAGES, LABELS))
    with pytest.raises(famus_tf.InputError, match=r"meta_data: expected \(images, labels\)"):
        _exact().fit(IMAGES, LABELS, meta_data=IMAGES)
    with pytest.raises(famus_tf.InputError, match="x a generator: expected arrays"):
        _exact().fit((IMAGES for _ in range(2)), meta_data=(IMAGES, LABELS))
    with pytest.raises(famus_tf.InputError, match="validation_split with meta_data"):
        _exact().fit(IMAGES, LABELS, meta_data=(IMAGES, LABELS), validation_split=0.5)


def test_weights_of_the_examples():
    """The weights of the last step, by the position in the arrays; co-teaching leaves the largest losses out."""
    pair = [methods.network(0), methods.network(1)]
    method = famus_tf.CoTeaching(pair, two_networks.ForgetRate(0.25, 1, 1))
    method.compile(keras.optimizers.SGD(0.0))
    method.fit(IMAGES, LABELS, batch_size=32, verbose=0)
    losses = [
        tf.keras.losses.sparse_categorical_crossentropy(LABELS, one.predict(IMAGES, verbose=0), from_logits=True)
        for one in pair
    ]
    kept = [np.isin(np.arange(32), np.argsort(loss, kind="stable")[:24]) for loss in losses]
    np.testing.assert_allclose(method.example_weights_, (1.0 * kept[0] + kept[1]) / 2 * 32 / 24, rtol=1e-6)
    other = _plain()
    with pytest.raises(AttributeError, match="none are kept; expected fit"):
        _ = other.example_weights_
    other.keep_example_weights(64)
    other.fit(methods.batches(IMAGES, LABELS, np.arange(32) + 40), verbose=0)
    np.testing.assert_array_equal(np.isnan(other.example_weights_), np.arange(64) < 40)


def test_weights_of_the_examples_under_two_replicas(two_replicas):
    with two_replicas.scope():
        method = _without_metrics()
    method.fit(IMAGES, LABELS, meta_data=(IMAGES[:8], LABELS[:8]), batch_size=16, shuffle=False, verbose=0)
    alone = _without_metrics()
    alone.fit(IMAGES, LABELS, meta_data=(IMAGES[:8], LABELS[:8]), batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(method.example_weights_, alone.example_weights_, rtol=1e-5)
    assert np.isfinite(method.example_weights_).all()


def _without_metrics():
    method = famus_tf.FaMUS(methods.network(), selector=famus_tf.AllLayers())
    method.compile(keras.optimizers.SGD(0.5))
    return method
