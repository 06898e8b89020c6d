"""What a runner tells of an epoch that a run was stopped in or after."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.training import progress, runner
from tests import small_networks


def _batch(seed):
    return *small_networks.batch(seed, 8, "float32"), tf.range(8, dtype=tf.int64)


def _make(folder, metrics):
    """A runner with what its run directory holds, and its checkpoints."""
    keras.utils.set_random_seed(0)
    trainer = famus_tf.FaMUS(small_networks.residual("float32"), famus_tf.CrossEntropy())
    trainer.compile(keras.optimizers.SGD(0.1), metrics=metrics)
    done = progress.Progress(8, len(trainer.gated_layers))
    checkpoints = progress.Checkpoints([trainer], [done], folder, [metrics])
    checkpoints.restore()
    return runner.Runner(tf.distribute.get_strategy(), trainer, done, metrics=metrics), checkpoints


@pytest.mark.parametrize("names", [("accuracy",), ()], ids=["accuracy", "no metrics"])
def test_running_means_outlive_a_stop_and_begin_anew(tmp_path, names):
    """Keras builds compiled metrics in a step; here there is none between the stop and what is asked."""

    def make():
        return _make(tmp_path / "checkpoints", [keras.metrics.SparseCategoricalAccuracy(name=name) for name in names])

    first, checkpoints = make()
    assert first.logs().keys() == {"loss", *names}
    for number in range(3):
        first.run_step(_batch(number), None)
    first.settle()
    before = first.logs()
    assert before["loss"] > 0
    checkpoints.save()

    again, _ = make()
    assert again.logs() == before
    for one in (first, again):
        one.reset_metrics()
        one.run_step(_batch(7), None)
        one.settle()
    assert again.logs() == first.logs() != before
    images, labels, _ = _batch(7)
    once, _ = make()
    expected = np.mean(once.method.network(images, training=True).numpy().argmax(1) == labels)
    assert [again.logs()[name] for name in names] == [pytest.approx(expected)] * len(names)


def test_the_seconds_of_a_step_are_the_mean_over_both_kinds_by_their_number():
    """Also of a method without gates whose later steps take a second batch."""
    done = progress.Progress(4, 0)
    done.step, done.paired_steps = 40, 10
    for with_second, seconds in ((False, 0.1), (True, 0.5), (False, 0.1), (True, 0.5)):
        done.time(seconds, with_second)
    assert done.seconds_per_step() == pytest.approx(0.75 * 0.1 + 0.25 * 0.5)
