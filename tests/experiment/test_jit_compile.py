"""XLA: a compiled step against the plain graph's, and where it is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import checks
from famus_tf.training import step as steps
from tests import small_networks


def two_steps(make_selector, jit_compile):
    """What two steps of the command's loop leave of all variables, and their records."""
    keras.utils.set_random_seed(5)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        network = small_networks.residual("float32")
        trainer = famus_tf.FaMUS(network, selector=make_selector(), lambda_cost=0.2)
        trainer.compile(keras.optimizers.SGD(0.1, momentum=0.9), meta_optimizer=keras.optimizers.SGD(1.0))
    step = steps.compile_step(strategy, trainer, jit_compile)
    records = []
    for seed in range(2):
        found, logs = step(*(small_networks.batch(seed + n, n, "float32") for n in (6, 4)))
        records += [steps.gather({k: v for k, v in found.items() if v[0] is not None}), logs]
    owners = trainer.network, trainer.meta_learner, trainer.selector
    return [v.numpy() for owner in owners for v in owner.variables], records


def uniform(shape, seed, **bounds):
    """In the place of random numbers, which XLA draws in another order from the same seed."""
    del bounds
    return 0.5 + 0.4 * tf.reshape(tf.cos(tf.range(float(np.prod(shape))) + tf.cast(seed[1], tf.float32)), shape)


@pytest.mark.parametrize("name", ["AllLayers", "GradientSampler"])
def test_compiled_step_equals_the_plain_one(monkeypatch, name):
    monkeypatch.setattr(tf.random, "stateless_uniform", uniform)
    make = {"AllLayers": famus_tf.AllLayers, "GradientSampler": lambda: famus_tf.GradientSampler(2, seed=1)}[name]
    plain, plain_records = two_steps(make, False)
    compiled, compiled_records = two_steps(make, True)
    assert any(np.abs(value).max() > 0 for value in plain)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(compiled_records, plain_records, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_allclose(a[key], b[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_several_devices_are_refused(two_replicas):
    made = config.from_values({"epochs": 1, "jit_compile": True})
    with pytest.raises(errors.InputError, match="--jit_compile on 2 devices: expected one"):
        checks.check_replicas(made.run, made.method, made.optimization, two_replicas)
