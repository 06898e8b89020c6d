"""The benchmark of the pipelines, in short."""

import json

import pytest

from benchmarks import input_pipeline


def test_command(tmp_path, capsys):
    quick = ["--seconds=0.2", "--files=4", "--warm_batches=1"]
    assert input_pipeline.main([*quick, f"--json={tmp_path / 'found.json'}"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert tuple(found) == input_pipeline.PIPELINES
    said = " ".join(capsys.readouterr().out.split())
    for name, numbers in found.items():
        assert numbers["images"] % 128 == 0 and numbers["images"] > 0
        assert numbers["per_cpu_second"] == pytest.approx(numbers["images"] / numbers["cpu_seconds"])
        assert f"| {name} | {numbers['per_cpu_second']:,.0f} |" in said


def test_mistakes(tmp_path, capsys):
    assert input_pipeline.main(["--seconds=0"]) == 2
    assert "--seconds=0.0: expected more than 0" in capsys.readouterr().err
