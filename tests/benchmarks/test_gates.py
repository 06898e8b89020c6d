"""The watch on the sampler's gates: its figures, and some steps on a small network by each objective."""

import json

import numpy as np
import pytest

from benchmarks import gates


def test_figures():
    on = np.zeros([60, 3], bool)
    on[:20, 1:] = True
    on[40:50, 0] = True
    found = gates.describe(on, np.array([1.0, 0.5, 0.1]))
    assert [window["gates"] for window in found["windows"]] == [2.0, 0.0, 0.5]
    assert [window["lowest_layer"] for window in found["windows"]] == [1.0, 3.0, 1.5]
    assert [window["cost"] for window in found["windows"]] == [0.5, 0.0, 0.5]
    assert (found["different_sets"], found["empty_after_50"], found["layers"]) == (3, 10, 3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["scale_free", "paper"])
def test_small_network(tmp_path, capsys, objective):
    """As many gates as are expected from the first step on."""
    options = ["--steps=40", "--batch_size=4", "--trained=2", f"--objective={objective}"]
    assert gates.main(["small_preact", *options, f"--json={tmp_path / 'found.json'}"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    first = found["windows"][0]["gates"]
    assert found["layers"] == 17 and abs(first - 4) < 1.5
    assert "lowest of 17 layers" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("trained", [0, 200])
@pytest.mark.parametrize("network", ["resnet50", "dense"])
def test_deep_networks(tmp_path, network, trained):
    """K +- 1 gates in every 20 steps, many different sets, never nothing."""
    options = ["--steps=300", f"--trained={trained}", f"--json={tmp_path / 'found.json'}"]
    assert gates.main([network, *options]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["windows"]) == 15
    for window in found["windows"]:
        assert abs(window["gates"] - 4) <= 1, window
    assert found["different_sets"] >= 20 and found["empty_after_50"] == 0


def test_a_network_that_there_is_not(capsys):
    assert gates.main(["resnet5"]) == 2
    assert "gates: error: resnet5: expected dense, " in capsys.readouterr().err
