"""The benchmark of Algorithm 2's step: it runs, and its tables are what the times say."""

import json

import pytest

from benchmarks import co_divide_step


@pytest.mark.slow
def test_a_small_measurement(tmp_path, capsys):
    files = [f"--json={tmp_path / 'found.json'}", f"--plot={tmp_path / 'found.png'}"]
    small = ["--network=small_preact", "--image_size=8", "--batch_size=2", "--rounds=2", "--sample_seconds=0.01"]
    assert co_divide_step.main([*small, *files]) == 0
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "found.json").read_text())["results"]
    assert results["reference"]["ratio"]["median"] == 1.0
    for found in results.values():
        assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    # The meta step is a part of these, and not of DivideMix's.
    assert results["MW-Net exact"]["median_seconds"] > results["DivideMix (no meta step)"]["median_seconds"]
    assert f"{1000 * results['MW-Net exact']['median_seconds']:.0f}" in said
    assert (tmp_path / "found.png").stat().st_size > 5000


def test_the_parts_are_the_whole():
    seconds = {"plain": 3.0, "reference": 4.0, "label guessing": 1.0, "label guessing, refinement and MixUp": 1.5}
    seconds |= {"DivideMix (no meta step)": 4.5, "MW-Net exact": 10.0, "FaMUS, gates at the last block": 7.0}
    ratio = {"median": 1.0, "low": 0.9, "high": 1.1}
    results = {name: {"median_seconds": value, "ratio": ratio} for name, value in seconds.items()}
    parts = co_divide_step.parts_of_steps(results)
    assert [sum(values) for values in zip(*parts.values(), strict=True)] == pytest.approx([10.0, 7.0])
    assert parts["meta step (what is left)"] == pytest.approx([5.5, 2.5])
    said = co_divide_step.report(results)
    assert "| 5500 " in said and "| 55% " in said and "| 0.90 - 1.10" in said
