"""Measured costs of segments: shares of a whole, no change of the network, c_l from the top."""

import numpy as np
import tensorflow as tf

from famus_tf.meta import layers, segments
from famus_tf.profiling import segment_times
from tests import small_networks


def test_shares_sum_to_one_and_nothing_changes():
    network = small_networks.residual("float32")
    cut = segments.find_segments(network)
    before = [v.numpy() for v in network.variables]
    shares = segment_times.measure(cut, tf.ones([4, 6, 6, 2]), repeats=2)
    assert len(shares) == len(cut) and min(shares) > 0
    np.testing.assert_allclose(sum(shares), 1.0)
    for variable, old in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)


def test_costs_are_summed_from_the_top():
    gated = [layers.GatedLayer(str(k), (k,), ((),), 1, segment, 1.0) for k, segment in enumerate([0, 0, 1, 2])]
    np.testing.assert_allclose(segment_times.costs_from_top(gated, [0.5, 0.3, 0.2]), [1.0, 1.0, 0.5, 0.2])
