import json

import numpy as np
import pytest

from famus_tf.training import epoch_statistics, progress


def make_records(steps, seed=0, num_layers=5, size=40):
    """Records as a step returns them; the gradients' spread is a thousandth of their mean."""
    generator = np.random.default_rng(seed)
    center = 1e3 * generator.standard_normal(size)
    return [
        {
            "index": np.array([0, 1]),
            "example_weight": np.ones(2, np.float32),
            "gates": generator.integers(0, 2, num_layers).astype(np.float32),
            "lowest_layer": np.int32(1),
            "repeatability": generator.random(num_layers).astype(np.float32),
            "meta_gradient": (center + generator.standard_normal(size)).astype(np.float32),
        }
        for _ in range(steps)
    ]


def test_statistics_are_those_of_numpy():
    records = make_records(30)
    statistics = epoch_statistics.EpochStatistics(5)
    for step in records:
        statistics.record(step)
    found = statistics.close()
    gradients = np.array([step["meta_gradient"] for step in records], np.float64)
    variances, mean = gradients.var(axis=0, ddof=1), gradients.mean(axis=0)
    assert found["meta_gradient"] == {
        "variance": pytest.approx(variances.mean(), rel=1e-9),
        "relative_variance": pytest.approx(variances.sum() / (mean @ mean), rel=1e-9),
        "norm": pytest.approx(np.sqrt((gradients**2).sum(axis=1)).mean(), rel=1e-12),
        "steps": 30,
    }
    np.testing.assert_allclose(found["gates"], np.mean([step["gates"] for step in records], axis=0), atol=1e-6)


def test_each_epoch_starts_anew():
    statistics = epoch_statistics.EpochStatistics(5)
    for step in make_records(7, seed=1):
        statistics.record(step)
    statistics.close()
    fresh = epoch_statistics.EpochStatistics(5)
    for step in make_records(9, seed=2):
        statistics.record(step)
        fresh.record(step)
    assert statistics.close() == fresh.close()


def test_only_what_was_recorded_is_reported():
    statistics = epoch_statistics.EpochStatistics(2)
    assert statistics.close() == {}
    statistics.record({"example_weight": np.ones(3)})  # a step between two meta steps
    statistics.record({"gates": np.array([0.0, 1.0])})
    assert statistics.close() == {"gates": [0.0, 1.0]}
    for value in (0.25, 0.5):
        statistics.record({"repeatability": np.array([0.0, value], np.float32)})
        statistics.record({"gates": np.array([0.0, 1.0])})
    assert statistics.close() == {"gates": [0.0, 1.0], "repeatability": [0.0, 0.5]}  # the last
    statistics.record({"meta_gradient": np.array([3.0, 4.0], np.float32)})
    assert statistics.close() == {
        "meta_gradient": {"variance": None, "relative_variance": None, "norm": 5.0, "steps": 1}
    }
    for _ in range(2):
        statistics.record({"meta_gradient": np.zeros(2, np.float32)})
    assert statistics.close()["meta_gradient"] == {"variance": 0, "relative_variance": None, "norm": 0, "steps": 2}


@pytest.mark.parametrize("saved_after", [0, 1, 4])
def test_progress_restored_in_mid_epoch_ends_with_the_same_statistics(saved_after):
    records = make_records(6)
    whole, first, second = (progress.Progress(2, 5) for _ in range(3))
    for step in records:
        whole.record(step)
    for step in records[:saved_after]:
        first.record(step)
    second.record(records[-1])  # restoring replaces what was there
    second.deserialize(first.serialize())
    for step in records[saved_after:]:
        second.record(step)
    expected, found = whole.epoch_statistics.close(), second.epoch_statistics.close()
    assert found == expected
    assert json.loads(json.dumps(found)) == expected
