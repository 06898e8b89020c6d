"""Algorithm 2 from end to end: results, pictures, export and evaluation; killed in the second network's turn."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config import config
from famus_tf.devices import strategy as strategies
from famus_tf.experiment import build_data, build_run, export
from famus_tf.experiment import modes as experiment
from famus_tf.methods import clean_split
from tests import co_divide_runs, small_networks


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return small_networks.save_convolutions(tmp_path_factory.mktemp("networks") / "bn.keras")


@pytest.fixture(scope="module")
def scanned():
    """The losses [N] of each network in each scan of `finished`, which fills it."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, network, scanned):
    """A finished run: its directory and results. Beside it lies `stopped`, the same run killed in mid-epoch."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    stopping = co_divide_runs.copied_in_mid_epoch(workdir, workdir.parent / "stopped")
    with stopping, co_divide_runs.scans(scanned):
        return workdir, co_divide_runs.run(workdir, network, checkpoint_every=2)


def settings_of(workdir, network, **changes):
    flags = co_divide_runs.ALGORITHM_2 | {"network": network, "workdir": str(workdir)} | changes
    return config.from_values(flags)


def _dataset(settings):
    return build_data.make_dataset(settings.data, settings.run.seed)


@pytest.fixture(scope="module")
def parts(finished, network):
    """Both networks as the run has left them, in `build_run.Run`."""
    settings = settings_of(finished[0], network)
    dataset = _dataset(settings)
    made = build_run.assemble(settings, dataset, strategies.make_strategy("one_device"), finished[0])
    assert made.checkpoints.restore()
    return made


def exported_logits(workdir, images):
    return tf.saved_model.load(str(workdir / "export")).signatures["serving_default"](images=images)["logits"].numpy()


def accuracy_said(text):
    return float(re.search(r"test accuracy ([\d.]+)", text).group(1))


def test_results_are_of_both_networks_and_of_each(finished):
    workdir, results = finished
    first, second = results["networks"]
    assert results["steps"] == first["steps"] + second["steps"]
    assert len(results["history"]) == co_divide_runs.WARM_UP + 2
    assert [epoch["epoch"] for epoch in results["history"]] == [1, 2, 3, 4, 5]
    assert results["history"][-1]["step"] == results["steps"]
    for one in (results, first, second):
        accuracies = [epoch["test_accuracy"] for epoch in one["history"]]
        assert one["test_accuracy"] == {"peak": max(accuracies), "last": accuracies[-1]}
        assert one["test_accuracy"]["last"] > 0.2  # guessing has 0.1
        assert one["example_weight"]["clean"] > 0 and 0 < one["selected_layers"] <= one["layers"] == 3
    assert first["history"][-1]["test_loss"] != second["history"][-1]["test_loss"]
    wanted = {"losses_1.png", "losses_2.png", "curves.png", "class_accuracy.png", "gates_1.png", "gates_2.png"}
    names = {path.name for path in workdir.iterdir()}
    assert wanted <= names and not {"losses.png", "gates.png"} & names
    for name in wanted:
        assert (workdir / name).read_bytes().startswith(b"\x89PNG")


def test_each_epoch_goes_once_through_the_others_pseudo_clean_set(finished):
    _, results = finished
    steps = [[epoch["step"] for epoch in one["history"]] for one in results["networks"]]
    warm_up = co_divide_runs.N // 16
    for other, done in zip((1, 0), steps, strict=True):
        expected = [warm_up] * co_divide_runs.WARM_UP
        expected += [epoch["split"][other]["clean"] // 8 for epoch in results["history"] if "split" in epoch]
        np.testing.assert_array_equal(np.diff([0, *done]), expected)
    assert ["split" in epoch for epoch in results["history"]] == [False] * co_divide_runs.WARM_UP + [True] * 2


def test_the_quality_of_the_splits(finished, network, scanned):
    """Against pairs of examples counted one by one."""
    workdir, results = finished
    is_clean = _dataset(settings_of(workdir, network)).is_clean
    divisions, _ = co_divide_runs.state_of(workdir, networks=2)
    assert divisions.epoch == co_divide_runs.WARM_UP + 1
    # The last scan is that of the label report.
    for split, said, losses, raw in zip(
        divisions.splits, results["history"][-1]["split"], divisions.losses, scanned[-3:-1], strict=True
    ):
        p = split.clean_probability
        wins = p[is_clean][:, None] - p[~is_clean][None, :]
        assert said["auc"] == pytest.approx(((wins > 0) + 0.5 * (wins == 0)).mean())
        assert said["auc"] > 0.6
        taken = p > 0.5
        assert said["fallback"] == "" and (said["clean"], said["noisy"]) == (taken.sum(), (~taken).sum())
        assert said["precision"] == pytest.approx(is_clean[taken].mean())
        assert said["recall"] == pytest.approx(taken[is_clean].mean())
        scaled = (raw - raw.min()) / (raw.max() - raw.min())
        np.testing.assert_allclose(losses, [scaled], atol=1e-6)
        np.testing.assert_allclose(clean_split.clean_probability(scaled, seed=0)[0], p, atol=1e-3)
    assert (divisions.splits[0].clean != divisions.splits[1].clean).any()


def test_tensorboard_has_each_network_and_both(finished):
    from tensorboard.backend.event_processing import event_accumulator

    workdir, results = finished
    found = {}
    for folder in ("", "network1", "network2"):
        events = event_accumulator.EventAccumulator(str(workdir / "tensorboard" / folder), size_guidance={"tensors": 0})
        found[folder] = events.Reload()
    both = set(found[""].Tags()["tensors"])
    for number in (1, 2):
        names = ("clean", "noisy", "auc", "precision", "recall", "given_label_accuracy", "losses")
        assert {f"split/network{number}_{name}" for name in names} <= both
        tags = set(found[f"network{number}"].Tags()["tensors"])
        assert {"train/loss", "meta/meta_loss", "test/accuracy", "learning_rate/base", "example_weight/clean"} <= tags
        assert not any(tag.startswith("split/") for tag in tags)
        picture = found[""].Tensors(f"split/network{number}_losses")[-1].tensor_proto
        assert tf.io.decode_image(picture.string_val[2]).shape[-1] in (3, 4)
        saved = [
            float(tf.make_ndarray(event.tensor_proto)) for event in found[""].Tensors(f"split/network{number}_auc")
        ]
        said = [epoch["split"][number - 1]["auc"] for epoch in results["history"] if "split" in epoch]
        np.testing.assert_allclose(saved, said, rtol=1e-6)
    for folder, one in zip(found, (results, *results["networks"]), strict=True):
        events = found[folder].Tensors("test/accuracy")
        accuracies = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
        np.testing.assert_allclose(accuracies, [epoch["test_accuracy"] for epoch in one["history"]], rtol=1e-6)
        assert [event.step for event in events] == [epoch["step"] for epoch in one["history"]]


def test_evaluate_gives_the_accuracy_of_results_json(finished, network, capsys):
    workdir, results = finished
    experiment.run(settings_of(workdir, network, mode="evaluate"))
    assert accuracy_said(capsys.readouterr().out) == pytest.approx(results["test_accuracy"]["last"], abs=5e-5)


def test_the_mean_of_both_networks_logits_is_exported(finished, parts):
    workdir, results = finished
    images = tf.constant(parts.dataset.test_images)
    each = [network(images, training=False).numpy() for network in parts.networks]
    mean = (each[0] + each[1]) / 2
    np.testing.assert_allclose(exported_logits(workdir, images), mean, rtol=1e-4, atol=1e-5)
    for logits, one in zip((mean, *each), (results, *results["networks"]), strict=True):
        right = (logits.argmax(1) == parts.dataset.test_labels).mean()
        assert right == pytest.approx(one["test_accuracy"]["last"])


def test_export_mode_writes_the_checkpoint_again(finished, network, capsys):
    """Either kind, whatever the run itself exported."""
    workdir, _ = finished
    images = tf.constant(np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8))
    before = exported_logits(workdir, images)
    (workdir / "export" / "saved_model.pb").unlink()
    experiment.run(settings_of(workdir, network, mode="export", export_network="better"))
    assert (exported_logits(workdir, images) != before).any()
    assert "with the better test accuracy" in capsys.readouterr().out
    experiment.run(settings_of(workdir, network, mode="export"))
    np.testing.assert_array_equal(exported_logits(workdir, images), before)
    assert "exported: the mean of both networks' logits" in capsys.readouterr().out


def test_the_better_network(finished, network, parts):
    """By the last epoch's test accuracy, or where there is a validation set by that of the best epoch."""
    workdir, results = finished
    settings = settings_of(workdir, network, export_network="better")
    accuracies = [one["test_accuracy"]["last"] for one in results["networks"]]
    better = int(np.argmax(accuracies))
    chosen, said = export.network_to_export(settings.co_divide.export_network, parts)
    assert chosen is parts.networks[better]
    assert f"network {better + 1}, with the better test accuracy of {accuracies[better]:.2%}; there is no valid" in said
    joint = parts.history.epochs
    kept = [json.dumps(history) for history in (joint, *(done.history for done in parts.history.of_networks))]
    try:
        for k, epoch in enumerate(joint):
            epoch["validation_accuracy"] = 0.9 if k == 1 else 0.5
            for number, done in enumerate(parts.history.of_networks):
                done.history[k]["validation_accuracy"] = 0.7 + 0.1 * ((number == better) == (k != 1))
        chosen, said = export.network_to_export(settings.co_divide.export_network, parts)
        joint.clear()
        with pytest.raises(errors.InputError, match="--export_network=better before the end of the first epoch"):
            export.network_to_export(settings.co_divide.export_network, parts)
    finally:
        joint[:] = json.loads(kept[0])
        for done, text in zip(parts.history.of_networks, kept[1:], strict=True):
            done.history[:] = json.loads(text)
    assert chosen is parts.networks[1 - better]
    assert said == f"exported: network {2 - better}, with the better validation accuracy of 80.00%\n"


def test_killed_in_the_second_networks_turn_it_goes_on_and_ends_the_same(finished, network, monkeypatch, capsys):
    workdir, results = finished
    stopped = workdir.parent / "stopped"
    co_divide_runs.without_pictures(monkeypatch)
    co_divide_runs.run(stopped, network)
    step = int(re.search(r"goes on after step (\d+), in epoch 4 of 5", capsys.readouterr().out).group(1))
    first = results["networks"][0]["history"][co_divide_runs.WARM_UP]["step"]
    assert first + 30 + 2 <= step <= first + 30 + 3 < results["history"][co_divide_runs.WARM_UP]["step"]
    numbers = co_divide_runs.weights(stopped)
    for number in range(2):
        for part in ("network/", "optimizer/_variables", "meta_learner/optimizer/_var", "sampler_optimizer/_trainable"):
            assert any(name.startswith(f"trainers/{number}/{part}") for name in numbers)
        assert f"seeds/{number}/.ATTRIBUTES/VARIABLE_VALUE" in numbers
    co_divide_runs.assert_same_end(stopped, workdir, networks=2)


def test_one_network_killed_in_mid_epoch_goes_on_and_ends_the_same(tmp_path, network, monkeypatch, capsys):
    """The simple form: its own pseudo-clean set is trusted."""
    flags = {"algorithm": "single", "network": network, "meta_every": 2, "batch_size": 16}
    workdir, stopped = tmp_path / "run", tmp_path / "stopped"
    co_divide_runs.without_pictures(monkeypatch)
    with co_divide_runs.copied_in_mid_epoch(workdir, stopped):
        results = co_divide_runs.run(workdir, checkpoint_every=2, **flags)
    divisions, (done,) = co_divide_runs.state_of(workdir, 1)
    assert results["steps"] == 50 and done.gate_steps == 10 and "networks" not in results
    assert results["history"][-1]["split"][0]["auc"] > 0.6
    assert results["history"][-1]["split"][0]["clean"] == divisions.splits[0].clean.sum()
    capsys.readouterr()
    co_divide_runs.run(stopped, **flags)
    assert "goes on after step 32 of 50, in epoch 4 of 5" in capsys.readouterr().out
    co_divide_runs.assert_same_end(stopped, workdir, networks=1)
