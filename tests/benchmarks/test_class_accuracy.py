"""The picture of accuracies by class: its numbers, their order, and runs that do not go together."""

import json

import numpy as np
import pytest

from benchmarks import class_accuracy

_SIZES = {"ant": 20, "bee": 500, "cow": 3}


def _run(root, name, accuracies, seed=0, sizes=_SIZES, method="mw_net"):
    folder = root / name
    folder.mkdir()
    classes = [
        {"name": name, "training_images": count, "test_accuracy": accuracy}
        for (name, count), accuracy in zip(sizes.items(), accuracies, strict=True)
    ]
    results = {"test_accuracy": {"peak": 0.9, "last": 0.8}, "method": method, "classes": classes}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "flags.cfg").write_text(f"--method={method}\n--seed={seed}\n")
    return str(folder)


def test_lines_are_means_over_seeds_by_size(tmp_path, capsys):
    runs = [
        _run(tmp_path, "a", [0.5, 0.9, 0.1]),
        _run(tmp_path, "b", [0.7, 0.8, 0.3], seed=1),
        _run(tmp_path, "c", [0.4, 0.95, 0.0], method="cross_entropy"),
    ]
    out = [f"--out={tmp_path / 'a.png'}", f"--json={tmp_path / 'a.json'}"]
    assert class_accuracy.main([*runs, *out]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["classes"] == ["bee", "ant", "cow"] and found["training_images"] == [500, 20, 3]
    lines = list(found["test_accuracy"].values())
    np.testing.assert_allclose(lines[0], [[0.9, 0.5, 0.1], [0.8, 0.7, 0.3]])
    np.testing.assert_allclose(lines[1], [[0.95, 0.4, 0.0]])
    assert str(tmp_path / "a.png") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": _SIZES | {"ant": 21}}, "classes of other sizes"),
        ({"accuracies": [0.1, None, 0.3]}, "has no accuracy"),
    ],
)
def test_runs_that_do_not_go_together(changes, message, tmp_path, capsys):
    runs = [_run(tmp_path, "a", [0.5, 0.9, 0.1]), _run(tmp_path, "b", **({"accuracies": [0.5, 0.9, 0.1]} | changes))]
    assert class_accuracy.main([*runs, f"--out={tmp_path / 'a.png'}"]) == 2
    assert message in capsys.readouterr().err
