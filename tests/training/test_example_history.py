"""What is kept of each example over the epochs, against loops over single examples."""

import numpy as np

from famus_tf.training import example_history, progress

N, M = 7, 0.8


def _records(seed, with_score=True, repeated=False):
    rng = np.random.default_rng(seed)
    index = rng.choice(N, 5, replace=repeated)
    index[rng.integers(5)] = -1
    records = {
        "index": index,
        "example_weight": rng.random(5).astype(np.float32),
        "probability": rng.random(5).astype(np.float32),
        "margin": rng.normal(size=5).astype(np.float32),
    }
    return records | ({"score": rng.normal(size=5).astype(np.float32)} if with_score else {})


def _weighted_mean(values):
    weights = [M ** (len(values) - 1 - k) for k in range(len(values))]
    return np.dot(weights, values) / sum(weights) if values else np.nan


def test_running_means_and_the_area_under_the_margin_are_those_of_each_examples_visits():
    history = example_history.ExampleHistory(N)
    seen = {name: [[] for _ in range(N)] for name in ("probability", "margin", "score", "example_weight")}
    for seed in range(30):
        records = _records(seed, with_score=seed % 3 != 0, repeated=seed % 2)
        history.record(records)
        for name in seen.keys() & records.keys():
            for i in range(N):
                values = records[name][records["index"] == i]
                if len(values):
                    seen[name][i].append(values.astype(np.float64).mean())
    expected = {name: [_weighted_mean(values) for values in lists] for name, lists in seen.items()}
    np.testing.assert_allclose(history.probability, expected["probability"], rtol=2e-5)
    np.testing.assert_allclose(history.score, expected["score"], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(history.weight, expected["example_weight"], rtol=2e-5)
    np.testing.assert_allclose(history.area_under_margin, [np.mean(v) for v in seen["margin"]], rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(history.visits, [len(values) for values in seen["margin"]])
    np.testing.assert_allclose(history.last_probability, [v[-1] for v in seen["probability"]], rtol=1e-6)


def test_what_is_not_finite_is_no_visit():
    history = example_history.ExampleHistory(3)
    numbers = np.array([0.5, np.nan, np.inf])
    history.visit(np.arange(3), numbers, np.ones(3))
    np.testing.assert_array_equal(history.visits, [1, 0, 0])
    np.testing.assert_array_equal(np.isnan(history.probability), [False, True, True])
    assert np.isnan(history.score).all()


def test_records_without_a_given_label_leave_all_but_the_weight_as_it_is():
    history = example_history.ExampleHistory(2)
    history.record({"index": np.array([1, -1]), "example_weight": np.array([0.5, 2.0])})
    np.testing.assert_array_equal(history.visits, 0)
    np.testing.assert_allclose(history.weight, [np.nan, 0.5])
    history.record({"index": np.array([-1, -1]), "example_weight": np.array([0.5, 2.0])})
    np.testing.assert_allclose(history.weight, [np.nan, 0.5])


def test_a_checkpoint_has_all_of_it_and_one_of_an_earlier_version_has_none():
    one, other = progress.Progress(N, 2), progress.Progress(N, 2)
    for seed in range(9):
        one.examples.record(_records(seed))
    other.deserialize(one.serialize())
    assert one.examples.arrays().keys() == other.examples.arrays().keys()
    for name, values in one.examples.arrays().items():
        np.testing.assert_array_equal(other.examples.arrays()[name], values, strict=True)
        assert np.unique(values).size > 1
    fresh = example_history.ExampleHistory(N)
    fresh.restore({})
    np.testing.assert_array_equal(fresh.visits, 0)
