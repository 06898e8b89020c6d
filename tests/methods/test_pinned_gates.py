"""Gates pinned by the test: the reported layer numbers, and L_g at work where no gate keeps the classifier."""

import keras
import numpy as np
import pytest

import famus_tf
from tests import pinned, small_networks


def one_step(gates, lambda_g):
    """The step's logs, and how far theta moved."""
    network = small_networks.residual("float32")
    trainer = famus_tf.FaMUS(network, selector=pinned.Pinned(gates), lambda_g=lambda_g)
    trainer.compile(keras.optimizers.SGD(0.2), meta_optimizer=keras.optimizers.SGD(0.5))
    assert len(trainer.gated_layers) == len(gates)
    before = [v.numpy() for v in trainer.meta_learner.trainable_variables]
    logs = trainer.train_step(tuple(small_networks.batch(seed, 6, "float32") for seed in (0, 1)))
    after = [v.numpy() for v in trainer.meta_learner.trainable_variables]
    return logs, max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("lambda_g", [0.0, 0.4])
@pytest.mark.parametrize(
    ("gates", "lowest"),
    [([0, 0, 1, 0, 0, 1, 0], 3), ([1] * 7, 1), ([0] * 6 + [1], 7), ([0] * 7, 8)],
)
def test_pinned_gates(gates, lowest, lambda_g):
    logs, moved = one_step(gates, lambda_g)
    assert float(logs["lowest_layer"]) == lowest
    assert float(logs["selected_layers"]) == sum(gates)
    # With every gate off only L_g reaches theta, through the classifier that is kept for it.
    assert (moved > 0) == bool(sum(gates) or lambda_g)
