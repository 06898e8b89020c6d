"""The cost model against numbers worked out by hand, as DESIGN's table has them."""

import pytest

from benchmarks import cost_model


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        (10.0, {"share": 1.0}),  # 1 + 2 virtual + (1 + 2) meta + 2 tangent + 2 actual
        (6.4, {"share": 0.1}),  # 1 + 2 + (1 + 0.2) + 0.2 + 2
        (6.0, {"share": 0.0}),
        (8.0, {"share": 1.0, "virtual_backward": False}),  # L2R: w_hat = w
        (8.0, {"share": 1.0, "schedule": "one_loop"}),
        (4.4, {"share": 0.1, "schedule": "one_loop"}),
        (3.5, {"share": 0.1, "schedule": "one_loop", "meta_ratio": 0.25}),  # 1 + 2 + 0.25 * 1.2 + 0.2
        (3.35, {"share": 0.1, "schedule": "one_loop", "meta_every": 4}),  # (4.4 + 3 * 3) / 4
        (7.0, {"share": 0.5, "meta_ratio": 0.5}),  # 1 + 2 + 0.5 * 2 + 1 + 2
    ],
)
def test_units(expected, arguments):
    assert cost_model.units(**arguments) == pytest.approx(expected)


@pytest.mark.parametrize(("lowest", "share"), [(0, 1.0), (1, 0.75), (2, 0.25), (3, 0.0)])
def test_traversed_share(lowest, share):
    assert cost_model.traversed_share([0.5, 1.0, 0.5], lowest) == share
