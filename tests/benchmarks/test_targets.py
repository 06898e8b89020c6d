"""Which measurements are held against a target."""

import pytest

from benchmarks import targets
from benchmarks.settings import Settings


def result(mode, median, policy="float32", **more):
    return {"mode": mode, "dtype_policy": policy, "ratio": {"median": median}, "trace_seconds": 31.0, **more}


def verdict(settings, results, name):
    (found,) = (v for v in targets.judge(settings, results) if v.name == name)
    return found.measured, found.met


@pytest.mark.parametrize(("median", "met"), [(3.4, True), (3.41, False)])
def test_a_ratio_at_the_settings_that_are_meant(median, met):
    settings = Settings("wrn28_10", batch_size=8)
    assert verdict(settings, [result("mw_net_exact", median)], "mw_net_exact") == (median, met)


@pytest.mark.parametrize(
    "settings",
    [
        Settings("small_preact"),
        Settings("preact_resnet18", batch_size=8),
        Settings("preact_resnet18", image_size=64),
        Settings("preact_resnet18", meta_batch_size=4),
    ],
)
def test_other_settings_are_not_judged(settings):
    assert verdict(settings, [result("mw_net_exact", 3.0)], "mw_net_exact") == (3.0, None)


def test_what_was_not_measured_is_not_judged():
    assert verdict(Settings(), [result("mw_net_exact", 3.0, "mixed_bfloat16")], "mw_net_exact") == (None, None)


def test_the_quarter_has_its_own_batch_size():
    name = "one_loop_last_block_quarter"
    assert verdict(Settings(batch_size=64), [result(name, 1.2)], name) == (1.2, True)
    assert verdict(Settings(batch_size=16), [result(name, 1.2)], name) == (1.2, None)


def test_memory_and_trace_time():
    peaks = {"plain": 100, "mw_net_exact": 240, "famus_last_block": 250}
    results = [result(mode, 1.0, memory={"peak": peak}) for mode, peak in peaks.items()]
    settings = Settings("wrn28_10", batch_size=8)
    assert verdict(settings, results, "peak memory of mw_net_exact / plain") == (2.4, True)
    assert verdict(settings, results, "peak memory of famus_last_block / mw_net_exact") == (250 / 240, False)
    assert verdict(settings, results, "trace of mw_net_exact, s") == (31.0, False)
