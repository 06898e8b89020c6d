"""Moving averages of the weights: their numbers, and that they are what is evaluated, exported and kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.config import config
from famus_tf.experiment import build_data, build_run, modes
from famus_tf.methods import weight_average
from famus_tf.training import progress
from famus_tf.training import step as steps
from tests import small_networks

_FLAGS = {
    "dataset": "digits",
    "train_limit": 80,
    "noise": "symmetric",
    "noise_rate": 0.4,
    "meta_per_class": 2,
    "batch_size": 16,
    "meta_batch_size": 8,
    "epochs": 2,
    "ema": 0.5,
    "eval_batch_size": 100,
    "label_report": False,
}
_METHODS = ["cross_entropy", "mw_net", "memory_weight_net", "co_teaching", "mixup", "elr_plus", "bbn"]


def _made(method, strategy=None, batch_norm=True, **changes):
    strategy = strategy or tf.distribute.get_strategy()
    settings = config.from_values(_FLAGS | {"method": method} | changes)
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            build_run.build_network.networks.BUILDERS,
            "small_preact",
            lambda shape, classes, mean, std: small_networks.convolutions(batch_norm, shape, classes, count=2),
        )
        with strategy.scope():
            made = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
    feed = build_data.make_feed(settings.optimization, dataset, strategy, settings.run.seed, 100)
    return made, list(zip(feed.training(0, 5), feed.meta(0, 5), strict=True))


def _steps(method, batches, count, strategy=None, after=lambda: None):
    step = steps.compile_step(strategy or tf.distribute.get_strategy(), method)
    for number in range(count):
        meta = batches[number][1] if method.is_meta_step(number) else None
        step(batches[number][0], meta, None if meta is None else method.variant_of(number))
        after()


def _values(networks):
    return [variable.numpy() for network in networks for variable in network.weights]


@pytest.mark.parametrize("name", _METHODS)
def test_after_each_step_it_is_the_mean_so_far(name):
    method, batches = _made(name)
    assert method.evaluated != method.networks and len(method.evaluated) == len(method.networks)
    expected = _values(method.networks)
    done = []

    def check():
        done.append(1)
        share = min(0.5, (1 + len(done)) / (10 + len(done)))
        for number, now in enumerate(_values(method.networks)):
            expected[number] = share * expected[number] + (1 - share) * now
        found = _values(method.evaluated)
        assert len(found) == len(expected) > 4
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)

    _steps(method, batches, 3, after=check)
    images = batches[0][0][0]
    logits = np.mean([network(images, training=False) for network in method.evaluated], axis=0)
    np.testing.assert_allclose(method(images), logits, rtol=1e-5, atol=1e-5)


def test_momentum_is_shorter_at_first():
    """As `tf.train.ExponentialMovingAverage` has it."""
    for step in (1, 5, 100):
        variable = tf.Variable(0.0)
        average = tf.train.ExponentialMovingAverage(0.9, num_updates=step)
        average.apply([variable])
        variable.assign(1.0)
        average.apply([variable])
        expected = 1 - float(average.average(variable))
        np.testing.assert_allclose(weight_average.warm(tf.constant(step), 0.9), expected, rtol=1e-6)


def test_one_replica_is_two(two_replicas):
    one, batches = _made("cross_entropy", batch_norm=False)
    two, shared = _made("cross_entropy", two_replicas, batch_norm=False)
    _steps(one, batches, 4)
    _steps(two, shared, 4, two_replicas)
    for found, expected in zip(_values(two.evaluated), _values(one.evaluated), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_begins_anew_where_an_epoch_begins_with_other_weights():
    method, batches = _made("cross_entropy")
    _steps(method, batches, 2)
    values = [np.full_like(value, 0.25) for value in _values(method.networks)]
    method.begin_epoch = lambda epoch, look: [
        variable.assign(value) for variable, value in zip(method.network.weights, values, strict=True)
    ]
    method.open_epoch(1, None)
    for found, expected in zip(_values(method.evaluated), values, strict=True):
        np.testing.assert_array_equal(found, expected)
    _steps(method, batches, 1)
    for found, now, before in zip(_values(method.evaluated), _values(method.networks), values, strict=True):
        np.testing.assert_allclose(found, 2 / 11 * before + 9 / 11 * now, rtol=1e-5, atol=1e-6)


def test_it_is_in_the_checkpoint(tmp_path):
    method, batches = _made("cross_entropy")
    _steps(method, batches, 3)
    progress.Checkpoints([method], [progress.Progress(80, 0)], tmp_path).save()
    again, _ = _made("cross_entropy")
    assert progress.Checkpoints([again], [progress.Progress(80, 0)], tmp_path).restore()
    for found, expected in zip(_values(again.evaluated), _values(method.evaluated), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_run_evaluates_and_exports_it(tmp_path, capsys):
    network = small_networks.save_convolutions(tmp_path / "net.keras")
    flags = _FLAGS | {"method": "cross_entropy", "network": network, "workdir": str(tmp_path / "run"), "ema": 0.9}
    settings = config.from_values(flags)
    modes.run(settings)
    run = build_run.assemble(
        settings, build_data.make_dataset(settings.data, 0), tf.distribute.get_strategy(), tmp_path / "run"
    )
    assert run.checkpoints.restore()
    (method,) = run.methods
    images = np.asarray(run.dataset.test_images[:50])
    of_average, of_last = (network[0](images, training=False) for network in (method.evaluated, method.networks))
    exported = tf.saved_model.load(str(tmp_path / "run" / "export")).signatures["serving_default"]
    said = exported(images=tf.constant(images))["logits"]
    np.testing.assert_allclose(said, of_average, rtol=1e-4, atol=1e-4)
    assert np.abs(of_last - said).max() > 0.01
    right = np.mean(np.argmax(run.network(run.dataset.test_images, training=False), -1) == run.dataset.test_labels)
    assert run.history.epochs[-1]["test_accuracy"] == pytest.approx(right, abs=1e-6)
    assert isinstance(run.network, keras.Model) and capsys.readouterr().out
