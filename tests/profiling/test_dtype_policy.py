"""Mixed precision: a step against float32's, what stays in float32, and what `auto` stands for."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import networks
from famus_tf.config import config
from famus_tf.experiment import modes as experiment
from famus_tf.profiling import dtype_policy
from famus_tf.runs import directory as run_directory


def one_step(policy, selector):
    """A trainer after one step on a small network, whose weights do not depend on the policy, and the records."""
    keras.utils.set_random_seed(3)
    network = networks.build("small_preact", (8, 8, 1), 10, [100.0], [80.0], policy)
    trainer = famus_tf.FaMUS(network, selector=selector)
    trainer.compile(keras.optimizers.SGD(0.1, momentum=0.9), meta_optimizer=keras.optimizers.SGD(10.0))
    before = [[v.numpy() for v in part.trainable_variables] for part in (network, trainer.meta_learner)]
    rng = np.random.default_rng(0)
    sides = [(rng.integers(0, 256, (32, 8, 8, 1), np.uint8), rng.integers(0, 10, 32)) for _ in range(2)]
    step = tf.function(trainer.step, autograph=False)
    records = step(tuple(tuple(map(tf.constant, side)) for side in sides))
    after = [[v.numpy() for v in part.trainable_variables] for part in (network, trainer.meta_learner)]
    moves = [
        np.concatenate([np.ravel(a - b) for a, b in zip(*parts, strict=True)])
        for parts in zip(after, before, strict=True)
    ]
    return trainer, records, moves


def test_a_step_agrees_with_float32_within_bfloat16():
    _, exact_records, exact = one_step("float32", famus_tf.AllLayers())
    _, records, mixed = one_step("mixed_bfloat16", famus_tf.AllLayers())
    assert float(records["loss"]) == pytest.approx(float(exact_records["loss"]), rel=0.02)
    assert float(records["loss"]) != float(exact_records["loss"])  # or both would have run in float32
    for found, expected in zip(mixed, exact, strict=True):
        # bfloat16 has 8 bits; over a batch and six layers the errors of either sign partly cancel.
        assert 0 < np.linalg.norm(found - expected) < 0.2 * np.linalg.norm(expected)


def test_everything_but_the_layers_arithmetic_is_float32():
    trainer, records, _ = one_step("mixed_bfloat16", famus_tf.GradientSampler(2))
    learner, selector = trainer.meta_learner, trainer.selector
    optimizers = trainer.optimizer, learner.optimizer, trainer.sampler_optimizer
    owners = trainer.network, learner, selector
    kept = [v for owner in owners for v in owner.variables]
    kept += [v for optimizer in optimizers for v in optimizer.variables if "iteration" not in v.path]
    assert {v.dtype for v in kept} == {"float32"}
    assert learner.compute_dtype == selector.samplers.compute_dtype == "float32"
    for name in ("loss", "meta_loss", "example_weight", "gates"):
        assert records[name].dtype == tf.float32


def test_of_run(tmp_path):
    path = tmp_path / "flags.cfg"
    assert run_directory.dtype_policy_of(path) is None
    for text, expected in (
        ("--seed=1\n--dtype_policy=mixed_bfloat16\n", "mixed_bfloat16"),
        ("# a comment\n--seed=1\n", "float32"),
        ("--dtype_policy=auto\n", None),
    ):
        path.write_text(text)
        assert run_directory.dtype_policy_of(path) == expected


class _Slow:
    """A network whose passes take so many seconds."""

    def __init__(self, seconds):
        self.trainable_variables, self._seconds = [keras.Variable([[1.0, 2.0]])], seconds

    def __call__(self, images, training):
        assert len(images) == 16 and training
        with tf.control_dependencies([tf.py_function(lambda: time.sleep(self._seconds), [], [])]):
            return tf.ones([16, 1]) * self.trainable_variables[0].value


@pytest.mark.parametrize("faster", ["float32", "mixed_bfloat16"])
def test_choose_takes_what_is_faster(capsys, faster):
    def build(name):
        return _Slow(0.002 if name == faster else 0.02)

    assert dtype_policy.choose(build, np.zeros((40, 8, 8, 1)), np.zeros(40, int)) == faster
    printed = capsys.readouterr().out
    assert printed.startswith(f"--dtype_policy=auto: {faster}; forward and backward for 16 images take 0.0")
    assert printed.count("\n") == 1


def test_the_measured_passes_depend_on_every_gradient():
    network = networks.build("small_preact", (8, 8, 1), 10, [100.0], [80.0])
    rng = np.random.default_rng(0)
    images, labels = tf.constant(rng.integers(0, 256, (6, 8, 8, 1))), tf.constant(rng.integers(0, 10, 6))
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    expected = sum(float(tf.reduce_sum(gradient)) for gradient in gradients)
    found = dtype_policy.forward_and_backward(network, images, labels)()
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_auto_is_resolved_once_for_a_run(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(dtype_policy, "choose", lambda *arguments: calls.append(1) or "mixed_bfloat16")
    values = {"train_steps": 1, "train_limit": 40, "batch_size": 8, "meta_batch_size": 8, "meta_per_class": 1}
    made = config.from_values(values | {"method": "cross_entropy", "dtype_policy": "auto", "workdir": str(tmp_path)})
    experiment.run(made)
    assert "--dtype_policy=mixed_bfloat16" in (tmp_path / "flags.cfg").read_text().splitlines()
    experiment.run(made)  # refused if it stood for something else
    assert calls == [1]
