"""One step of FaMUS on every network, at a reduced size, and the table of its segments."""

import json

import numpy as np
import pytest

from benchmarks import segments
from famus_tf import networks


def test_every_network_has_a_size():
    assert tuple(segments.SIZES) == tuple(networks.BUILDERS)


def _quick(name):
    """Deeper ones take a minute to trace; test_segments_at_scale cuts all, test_families steps their blocks."""
    return name in ("small_preact", "preact_resnet18")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if _quick(name) else pytest.mark.slow)
        for name in segments.SIZES
        if name != "inception_resnet_v2"
    ],
)
def test_a_step_and_its_table(name, tmp_path, capsys):
    assert segments.main([f"--networks={name}", "--image_size=32", f"--json={tmp_path / 'found.json'}"]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["results"][name]
    shares = [row["cost"] for row in found["segments"]]
    assert sum(shares) == pytest.approx(1.0) and 3 <= len(shares) <= 17
    assert max(shares) < (0.75 if name == "small_preact" else 0.3)
    for index, row in enumerate(found["segments"]):
        assert f"| {row['cost']:.1%}" in said and f"| {row['last_layer']}" in said and f"| {index} " in said
    step = found["step"]
    assert all(np.isfinite(value) for value in step.values()) and step["selected"] > 0


def test_mistakes(capsys):
    assert segments.main(["--networks=vgg"]) == 2
    assert "--networks=vgg: expected some of small_preact" in capsys.readouterr().err
    assert segments.main(["--networks=inception_resnet_v2", "--image_size=32"]) == 2
    assert "takes images of at least 75x75" in capsys.readouterr().err
