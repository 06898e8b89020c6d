"""The epoch that the validation set chooses: what is reported of it, and that its weights are exported."""

import json
import re

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors, main
from famus_tf.training import best_epoch as selection
from tests import small_networks


def test_best_epoch():
    history = [{"epoch": k, "validation_accuracy": v, "test_accuracy": 0.1} for k, v in enumerate((0.2, 0.5, 0.5, 0.4))]
    assert selection.best_epoch(history) is history[1]
    assert selection.best_epoch(history[2:]) is history[2]
    assert selection.best_epoch([]) is None
    assert selection.best_epoch([{"epoch": 1, "test_accuracy": 0.9}]) is None


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three classes of grey 8x8 images, so noisy that the accuracy goes up and down."""
    root, rng = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 14), ("test", 15), ("meta", 4)):
        for c in range(3):
            (root / split / "abc"[c]).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(90 + 25 * c, 60, (8, 8)), 0, 255).astype(np.uint8)
                PIL.Image.fromarray(pixels).save(root / split / "abc"[c] / f"{number}.png")
    return root


def test_the_best_epochs_weights_are_exported(tree, tmp_path, capsys, monkeypatch):
    # Which epoch is best in so short a run is a matter of luck; here it is the second of seven.
    monkeypatch.setattr(selection, "best_epoch", lambda history: history[min(1, len(history) - 1)] if history else None)
    command = ["main.py", "--dataset=folder", f"--data_dir={tree}", f"--workdir={tmp_path / 'run'}"]
    command += ["--train_steps=35", "--batch_size=12", "--meta_batch_size=12", "--lr_schedule=constant"]
    network = small_networks.save_convolutions(tmp_path / "a.keras", True, (8, 8, 1), 3)
    command += ["--base_learning_rate=0.3", f"--network={network}"]
    assert main.main(command) == 0
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    best, last = results["history"][1], results["history"][-1]
    assert len(results["history"]) == 7 and f"{best['test_loss']:.4f}" != f"{last['test_loss']:.4f}"
    assert results["selected_epoch"] == best
    assert results["test_accuracy"]["selected"] == best["test_accuracy"] and results["test_top5"] == best["test_top5"]
    assert f"{best['test_accuracy']:.2%} after epoch {best['epoch']}, the best on the validation set" in said
    for mode in ("evaluate", "export", "evaluate"):
        assert main.main([*command, f"--mode={mode}"]) == 0
        said = capsys.readouterr().out
        if mode == "export":
            assert f"SavedModel of step {best['step']}" in said
        else:
            for name in ("test", "validation"):
                found = re.search(rf"{name} accuracy ([\d.]+), cross-entropy ([\d.]+)", said)
                assert float(found[1]) == pytest.approx(best[f"{name}_accuracy"], abs=5e-5)
                assert float(found[2]) == pytest.approx(best[f"{name}_loss"], abs=5e-5)
    (tmp_path / "run" / "best.weights.h5").unlink()
    assert main.main([*command, "--mode=export"]) == 2
    assert "expected the weights of the best epoch" in capsys.readouterr().err


def test_only_a_better_epoch_is_kept(tmp_path):
    import tensorflow as tf

    network, path = small_networks.residual("float32"), tmp_path / "best.weights.h5"
    kept = selection.BestWeights(network, path, tf.distribute.get_strategy())
    kept.keep_if_best([{"validation_accuracy": 0.5}])
    first = [variable.numpy() for variable in network.variables]
    for variable in network.variables:
        variable.assign(variable + 1)
    history = [{"validation_accuracy": 0.5}, {"validation_accuracy": 0.5}]
    kept.keep_if_best(history)
    kept.restore([])  # without a validation set nothing changes
    assert not np.array_equal(network.variables[0].numpy(), first[0])
    kept.restore(history)
    for variable, value in zip(network.variables, first, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    kept.keep_if_best([*history, {"validation_accuracy": 0.6}])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.weights.h5"]
    kept.restore(history)
    content = path.read_bytes()
    position = content.index(network.variables[0].numpy().tobytes())
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    with pytest.raises(errors.InputError, match="damaged: it holds other numbers than were written"):
        kept.restore(history)
    path.write_bytes(b"no weights")
    with pytest.raises(errors.InputError, match=r"best\.weights\.h5: expected the weights of the best epoch"):
        kept.restore(history)
