"""What a Keras user does with a model, done with a method: it works as in Keras, or is refused in one sentence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.methods import two_networks
from tests.small_methods import IMAGES, LABELS, batches, exact, network, pairs, plain, weights

OPTIMIZERS = {
    "ema": {"use_ema": True, "ema_momentum": 0.8},
    "ema that overwrites": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    "clipnorm": {"clipnorm": 0.01},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.01},
    "accumulation": {"gradient_accumulation_steps": 2},
    "loss_scale_factor": {"loss_scale_factor": 1024.0},
    "decoupled decay": {"weight_decay": 0.1},
}
COMPILED = {
    "jit_compile": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 2},
    "run_eagerly": {"run_eagerly": True},
}


def assert_as_in_keras(optimizer_options=None, compile_options=None, hidden="float32", scaled=False):
    """Cross-entropy as a method is `keras.Model.fit`, bit by bit."""

    def optimizer():
        made = keras.optimizers.SGD(0.5, momentum=0.9, **(optimizer_options or {}))
        return keras.optimizers.LossScaleOptimizer(made) if scaled else made

    method = plain(optimizer(), hidden, **(compile_options or {}))
    model = network(hidden=hidden)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, **({"jit_compile": False} | (compile_options or {})))
    for trained in (method, model):
        trained.fit(IMAGES, LABELS, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert np.abs(weights(method.network)[0] - weights(network(hidden=hidden))[0]).max() > 1e-5
    for found, expected in zip(weights(method.network), weights(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert int(method.optimizer.iterations.numpy()) == int(model.optimizer.iterations.numpy())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_of_optimizers_are_keras_own(name):
    assert_as_in_keras(OPTIMIZERS[name], {"run_eagerly": True})


@pytest.mark.parametrize("name", COMPILED)
def test_options_of_compile_are_keras_own(name):
    assert_as_in_keras(compile_options=COMPILED[name])


def test_steps_per_execution_change_no_meta_step():
    """Nor does XLA: `tests/experiment/test_jit_compile.py`."""
    methods = exact(), exact(steps_per_execution=2)
    for method in methods:
        method.fit(IMAGES, LABELS, meta_data=(IMAGES, LABELS), batch_size=8, shuffle=False, verbose=0)
    for found, expected in zip(*map(weights, methods), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*(method.example_weights_ for method in methods), rtol=1e-5)


def test_the_loss_is_scaled_in_float16():
    assert_as_in_keras(compile_options={"run_eagerly": True}, hidden="mixed_float16", scaled=True)
    assert isinstance(plain(hidden="mixed_float16").optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(plain(hidden="mixed_bfloat16").optimizer, keras.optimizers.LossScaleOptimizer)


def test_a_scaled_optimizer_moves_a_meta_method_as_far():
    results = []
    for options in ({}, {"loss_scale_factor": 1024.0}):
        method = famus_tf.FaMUS(network(), selector=famus_tf.AllLayers(), weight_decay=0.1)
        method.compile(keras.optimizers.SGD(0.5, **options))
        side = tf.constant(IMAGES), tf.constant(LABELS)
        method.step((side, side))
        results.append(weights(method.network))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_meta_gradient_in_float16_is_refused():
    with pytest.raises(famus_tf.InputError, match=r"computes in float16 .*expected mixed_bfloat16"):
        famus_tf.FaMUS(network(hidden="mixed_float16"))


def test_two_networks_average_their_weights_too():
    method = famus_tf.CoTeaching([network(0), network(1)])
    method.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.0))
    method.fit(batches(), verbose=0)
    averages = [average.numpy() for average in method.optimizer._model_variables_moving_average]
    for found, expected in zip(method.trained_variables, averages, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("name", ["loss", "loss_weights", "weighted_metrics"])
def test_what_compile_cannot_heed_is_refused(name):
    with pytest.raises(famus_tf.InputError, match=rf"compile\({name}=\.\.\.\).*expected none"):
        plain(**{name: ["mse"]})


@pytest.mark.parametrize("others", [("sparse_categorical_crossentropy", ["accuracy"]), (None, ["accuracy"]), ("mse",)])
@pytest.mark.parametrize("learner", [famus_tf.MWNet, famus_tf.CrossEntropy])
def test_a_loss_or_metrics_by_position_are_refused(learner, others):
    method = famus_tf.FaMUS(network(0), meta_learner=learner())
    with pytest.raises(famus_tf.InputError, match=r"found .* for (meta|sampler)_optimizer, expected an optimizer"):
        method.compile("adam", *others)


def test_hdf5_is_refused(tmp_path):
    with pytest.raises(famus_tf.InputError, match=r"HDF5 keeps no method; expected a name ending in \.keras"):
        plain().save(tmp_path / "method.h5")
    assert not list(tmp_path.iterdir())


def test_weights_of_no_example_are_told():
    method = plain()
    method.keep_example_weights(40)
    method.fit(tf.data.Dataset.from_tensors((IMAGES, LABELS, np.arange(1000, 1032))), verbose=0)
    with pytest.warns(UserWarning, match="no step had an example of index 0 to 39, all weights are NaN"):
        assert np.isnan(method.example_weights_).all()


@pytest.mark.parametrize("function", ["fit", "train_on_batch"])
@pytest.mark.parametrize("name", ["sample_weight", "class_weight"])
def test_weights_of_examples_are_refused(function, name):
    value = {0: 2.0} if name == "class_weight" else np.ones(32)
    with pytest.raises(famus_tf.InputError, match=rf"{function}\({name}=\.\.\.\).*ClassWeighted"):
        getattr(plain(), function)(IMAGES, LABELS, **{name: value})


def test_train_on_batch_takes_a_meta_batch_too():
    """The step of `fit` on the same two batches."""
    one, other = exact(), exact()
    logs = one.train_on_batch(((IMAGES[:8], LABELS[:8]), (IMAGES[8:12], LABELS[8:12])), return_dict=True)
    sides = batches(IMAGES[:8], LABELS[:8]), batches(IMAGES[8:12], LABELS[8:12], size=4)
    history = other.fit(tf.data.Dataset.zip(*sides), verbose=0).history
    assert logs["meta_loss"] > 0 and logs["loss"] == pytest.approx(history["loss"][0])
    for found, expected in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("third", [np.ones(32, "float32"), np.ones((32, 1), "int64"), LABELS > 0])
def test_a_third_part_of_a_batch_is_an_index(third):
    with pytest.raises(famus_tf.InputError, match=r"third part of a batch .*expected the examples' index"):
        plain().fit(batches(IMAGES, LABELS, third), verbose=0)


def test_batches_of_another_form_are_refused():
    for data, found in ((batches(IMAGES), "1 parts"), (batches(*[IMAGES] * 4), "4 parts")):
        with pytest.raises(famus_tf.InputError, match=f"{found}.*expected"):
            plain().fit(data, verbose=0)


def test_evaluate_takes_weights_and_leaves_an_index():
    method = plain(metrics=["accuracy"])
    whole = method.evaluate(IMAGES, LABELS, verbose=0)
    assert len(whole) == 2
    half = np.arange(32) < 16
    first = method.evaluate(IMAGES[:16], LABELS[:16], verbose=0)
    np.testing.assert_allclose(method.evaluate(IMAGES, LABELS, sample_weight=half, verbose=0)[0], first[0], rtol=1e-6)
    parts = batches(IMAGES, LABELS, half.astype("float32"))
    np.testing.assert_allclose(method.evaluate(parts, verbose=0)[0], first[0], rtol=1e-6)
    np.testing.assert_allclose(method.evaluate(batches(IMAGES, LABELS, np.arange(32)), verbose=0), whole, rtol=1e-6)
    logs = method.fit(batches(), validation_data=(IMAGES, LABELS, half), verbose=0).history
    parts = method.evaluate(IMAGES[:16], LABELS[:16], verbose=0)
    np.testing.assert_allclose([logs["val_loss"][0], logs["val_accuracy"][0]][:1], parts[:1], rtol=1e-6)


def _made():
    two = famus_tf.CoTeaching([network(0), network(1)], two_networks.ForgetRate(0.25, 2, 2))
    two.compile("adam", metrics=["accuracy"])
    joint = famus_tf.JoCoR([network(0), network(1)], joint_weight=0.5)
    joint.compile("adam")
    l2r = famus_tf.FaMUS(network(), famus_tf.L2R(), famus_tf.FixedBlock(-1), meta_from=1)
    l2r.compile(keras.optimizers.SGD(0.1))
    sampled = famus_tf.FaMUS(network(), selector=famus_tf.GradientSampler(1, hidden=4), weight_decay=0.01)
    sampled.compile("sgd", meta_optimizer="adam", metrics=["accuracy"])
    loss = famus_tf.losses.ClassWeighted(famus_tf.losses.Focal(2.0), [1.0, 2.0, 3.0])
    one = famus_tf.FaMUS(network(), famus_tf.CrossEntropy(loss=loss))
    one.compile("sgd")
    return {"co_teaching": two, "jocor": joint, "l2r": l2r, "sampled": sampled, "class weights": one}


@pytest.mark.parametrize("name", ["co_teaching", "jocor", "l2r", "sampled", "class weights"])
def test_a_saved_method_comes_back_and_goes_on(name, tmp_path):
    method = _made()[name]
    side = tf.constant(IMAGES), tf.constant(LABELS)
    data = (side, side) if method.needs_meta_batches else side
    method.step(data)
    method.save(tmp_path / "method.keras")
    loaded = keras.models.load_model(tmp_path / "method.keras")
    assert type(loaded) is type(method) and loaded.get_config().keys() == method.get_config().keys()
    assert loaded.optimizers.keys() == method.optimizers.keys()
    for one in (method, loaded):
        one.step(data)
    for found, expected in zip(weights(loaded), weights(method), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_keras_callbacks(tmp_path):
    """A checkpoint of the whole model, the best weights restored, and a run that goes on where it stopped."""
    method = exact(run_eagerly=True)
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.EarlyStopping("val_loss", mode="max", patience=1, restore_best_weights=True),
    ]
    history = method.fit(pairs(), epochs=8, validation_data=(IMAGES, LABELS), callbacks=callbacks, verbose=0).history
    worst = int(np.argmax(history["val_loss"])) + 1
    assert len(history["val_loss"]) == worst + 1 < 8
    kept = keras.models.load_model(tmp_path / f"{worst}.keras")
    for found, expected in zip(weights(method.network), weights(kept.network), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_backup_and_restore(tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    through, stopped, resumed = (exact(run_eagerly=True) for _ in range(3))
    through.fit(pairs(), epochs=3, verbose=0)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(pairs(), epochs=3, callbacks=[backup, Killed()], verbose=0)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    resumed.fit(pairs(), epochs=3, callbacks=[backup], verbose=0)
    for found, expected in zip(weights(resumed), weights(through), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["jocor", "class weights"])
def test_a_method_exports(name, tmp_path):
    method = _made()[name]
    method.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(IMAGES), method.predict(IMAGES, verbose=0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "options", [{"gradient_accumulation_steps": 2}, {"use_ema": True, "ema_overwrite_frequency": 2}]
)
def test_one_loop_refuses_an_optimizer_that_is_not_linear(options):
    method = famus_tf.FaMUS(network(), schedule="one_loop")
    with pytest.raises(famus_tf.InputError, match=f"with {list(options)[-1]}: expected keras.optimizers.SGD"):
        method.compile(keras.optimizers.SGD(0.1, **options))


def test_an_epoch_that_ends_without_numbers_is_said():
    with pytest.raises(famus_tf.InputError, match=r"epoch 1: .*expected a learning rate"):
        plain(keras.optimizers.SGD(3e38)).fit(batches(), verbose=0)
    stop = keras.callbacks.TerminateOnNaN()
    history = plain(keras.optimizers.SGD(3e38)).fit(batches(), epochs=3, callbacks=[stop], verbose=0).history
    assert len(history["loss"]) == 1, "Keras's own callback ends it as in Keras"
