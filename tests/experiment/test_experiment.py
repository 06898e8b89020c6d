"""Whole runs: the command's loop against `fit`, kill and resume, export and evaluation, what is written, bad input."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors, main
from famus_tf.config import config
from famus_tf.devices import strategy as strategies
from famus_tf.experiment import build_data, build_run
from famus_tf.experiment import modes as experiment
from famus_tf.methods import famus
from famus_tf.training import progress
from tests import killed_runs, small_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHORT = {
    "dataset": "digits",
    "noise": "symmetric",
    "noise_rate": 0.6,
    "batch_size": 16,
    "meta_batch_size": 16,
    "train_limit": 80,
    "epochs": 2,
    "lr_schedule": "cosine",
    "summary_every": 1,
    "checkpoint_every": 3,
}
FLAGS = [f"--{name}={value}" for name, value in SHORT.items()]


def run(workdir, **changes):
    """Trains a short run in this process and returns its results."""
    experiment.run(config.from_values(SHORT | changes | {"workdir": str(workdir)}))
    return json.loads((workdir / "results.json").read_text())


def weights(workdir):
    """All numbers of the newest checkpoint that describe weights and optimizers."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    shapes = reader.get_variable_to_shape_map()
    names = [name for name in shapes if name.startswith(("trainers/", "seeds/"))]
    return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return small_networks.save_convolutions(tmp_path_factory.mktemp("networks") / "small.keras", count=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished short run of FaMUS: its directory and results."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, run(workdir)


def test_run_directory_and_results(finished):
    workdir, results = finished
    names = {path.name for path in workdir.iterdir()}
    assert {"flags.cfg", "versions.json", "results.json", "checkpoints", "tensorboard", "export", "curves.png"} <= names
    assert results["steps"] == 10
    assert len(results["history"]) == 2
    accuracies = [epoch["test_accuracy"] for epoch in results["history"]]
    assert results["test_accuracy"] == {"peak": max(accuracies), "last": accuracies[-1]}
    assert results["test_top5"] >= results["test_accuracy"]["last"]
    assert 1 <= results["mean_lowest_layer"] <= results["layers"] + 1
    assert 0 <= results["selected_layers"] <= results["layers"]
    assert results["example_weight"]["clean"] > 0
    assert results["example_weight"]["noisy"] > 0
    assert 0 < results["example_weight"]["auc"] < 1
    assert results["train_seconds_per_step"] > 0
    assert json.loads((workdir / "versions.json").read_text())["tensorflow"] == tf.__version__


def test_flags_cfg_runs_again(finished, capsys):
    workdir, results = finished
    assert main.main(["famus_tf", f"--flagfile={workdir / 'flags.cfg'}", f"--workdir={workdir}"]) == 0
    assert f"{results['test_accuracy']['last']:.2%}" in capsys.readouterr().out


def test_evaluate_gives_the_accuracy_of_results_json(finished, capsys):
    workdir, results = finished
    experiment.run(config.from_values(SHORT | {"mode": "evaluate", "workdir": str(workdir)}))
    found = float(re.search(r"test accuracy ([\d.]+)", capsys.readouterr().out).group(1))
    assert found == pytest.approx(results["test_accuracy"]["last"], abs=5e-5)


def test_exported_model_takes_raw_images_of_any_number(finished):
    workdir, _ = finished
    loaded = tf.saved_model.load(str(workdir / "export"))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    out = loaded.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(tf.reduce_sum(out["probabilities"], 1), np.ones(3), rtol=1e-5)
    np.testing.assert_array_equal(out["class_id"], np.argmax(out["logits"], 1))
    assert len(json.loads((workdir / "export" / "class_names.json").read_text())) == 10


def test_export_mode_writes_the_checkpoint_again(finished, tmp_path, capsys):
    workdir, _ = finished
    before = tf.saved_model.load(str(workdir / "export"))
    experiment.run(config.from_values(SHORT | {"mode": "export", "workdir": str(workdir)}))
    after = tf.saved_model.load(str(workdir / "export"))
    images = tf.constant(np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8))
    outputs = [model.signatures["serving_default"](images=images)["logits"] for model in (before, after)]
    np.testing.assert_array_equal(*outputs)


def test_tensorboard_has_scalars_histograms_and_gates(finished):
    from tensorboard.backend.event_processing import event_accumulator

    workdir, results = finished
    events = event_accumulator.EventAccumulator(str(workdir / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    wanted = {"train/loss", "train/accuracy", "meta/meta_loss", "meta/lowest_layer", "meta/selected_layers"}
    wanted |= {"learning_rate/base", "learning_rate/meta", "learning_rate/sampler", "time/step_seconds"}
    wanted |= {"test/accuracy", "test/loss", "example_weight/clean", "example_weight/noisy"}
    assert wanted <= tags
    gates = [tag for tag in tags if tag.startswith("gates/") and tag != "gates/selection"]
    assert len(gates) == results["layers"]
    on = sum(
        float(tf.make_ndarray(event.tensor_proto)) for tag in gates for event in events.Tensors(tag)
    )  # two epochs of five steps
    assert on / 2 == pytest.approx(results["selected_layers"], abs=1e-4)
    accuracy = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("test/accuracy")]
    np.testing.assert_allclose(accuracy, [epoch["test_accuracy"] for epoch in results["history"]], rtol=1e-6)


VARIANTS = {
    "mw_net": {},
    "cross_entropy": {"method": "cross_entropy"},
    "l2r": {"method": "l2r"},
    "mlc": {"method": "mlc", "selector": "random", "virtual_learning_rate": 0.05, "meta_learning_rate": 2.0},
    "one_loop_every_2": {"schedule": "one_loop", "meta_every": 2},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_loop_is_fit(tmp_path, network, name):
    settings = config.from_values(SHORT | VARIANTS[name] | {"network": network, "workdir": str(tmp_path / "loop")})
    experiment.run(settings)
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    trainer = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
    feed = build_data.make_feed(settings.optimization, dataset, tf.distribute.get_strategy(), settings.run.seed, 500)
    train, meta = list(feed.training(0, 10)), list(feed.meta(0, 10))
    # The loop takes a meta batch in meta steps only; `fit` is given one in every step.
    both = [(batch, meta[-(-step // settings.method.meta_every)]) for step, batch in enumerate(train)]
    signature = tf.nest.map_structure(tf.TensorSpec.from_tensor, both[0])
    pairs = tf.data.Dataset.from_generator(lambda: iter(both), output_signature=signature)
    trainer.fit(pairs, epochs=2, steps_per_epoch=5, verbose=0)
    done = progress.Progress(80, len(trainer.gated_layers))
    progress.Checkpoints([trainer], [done], tmp_path / "fit" / "checkpoints").save()
    loop, fit = weights(tmp_path / "loop"), weights(tmp_path / "fit")
    model = {name for name in fit if "_means" not in name and "metrics" not in name and "loss_tracker" not in name}
    assert len(model) > 20
    for name in model:
        np.testing.assert_allclose(loop[name], fit[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["l2r", "one_loop_every_2"])
def test_interrupted_it_goes_on_and_ends_with_the_same_weights(tmp_path, network, name):
    changes = VARIANTS[name] | {"network": network}
    run(tmp_path / "whole", **changes)
    expected = weights(tmp_path / "whole")
    with killed_runs.after_saving():
        run(tmp_path / "again", **changes)
    results = run(tmp_path / "again", **changes)
    assert results["steps"] == 10
    found = weights(tmp_path / "again")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_measured_costs_are_measured_once_and_kept(tmp_path, monkeypatch):
    asked = []

    def measure(segments, images):
        asked.append(images.shape)
        return [0.5, 0.25, 0.125, 0.0625, 0.0625]

    monkeypatch.setattr(build_run.segment_times, "measure", measure)
    for _ in range(2):
        run(tmp_path / "run", layer_cost="measured", train_steps=2, epochs=0)
    assert asked == [(16, 8, 8, 1)]
    (costs,) = (value for name, value in weights(tmp_path / "run").items() if "layer_costs" in name)
    assert costs[0] == 1.0 and costs[-1] == 0.0625 and sorted(costs)[::-1] == list(costs)


def test_a_meta_step_every_so_many_steps_sees_consecutive_meta_batches(tmp_path, network, monkeypatch):
    """No meta batch is left out, and those of steps without a meta update are not made."""
    seen = []
    step = famus.FaMUS.step

    def watched(self, data, with_meta=True):
        if with_meta:
            tf.py_function(lambda index: seen.append(index.numpy()), [data[1][2]], [])
        return step(self, data, with_meta)

    monkeypatch.setattr(famus.FaMUS, "step", watched)
    results = run(tmp_path / "run", network=network, meta_every=4)
    settings = config.from_values(SHORT)
    dataset, strategy = build_data.make_dataset(settings.data, settings.run.seed), tf.distribute.get_strategy()
    feed = build_data.make_feed(settings.optimization, dataset, strategy, settings.run.seed, 500)
    assert len(seen) == 3  # steps 0, 4 and 8 of 10
    for found, (_, _, index) in zip(seen, feed.meta(0, 3), strict=True):
        np.testing.assert_array_equal(found, index)
    assert 0 <= results["selected_layers"] <= results["layers"]


def test_two_replicas_run_the_same_loop(tmp_path, network, two_replicas, monkeypatch, capsys):
    changes = {"network": network, "epochs": 1}
    one = run(tmp_path / "one", method="cross_entropy", **changes)
    monkeypatch.setattr(strategies, "make_strategy", lambda *of: two_replicas)
    two = run(tmp_path / "two", method="cross_entropy", **changes)
    meta = run(tmp_path / "famus", **changes)
    # BatchNorm is per replica, so the figures are near, not equal; every example is recorded once.
    assert abs(one["history"][0]["loss"] - two["history"][0]["loss"]) < 0.5
    assert meta["steps"] == 5
    assert meta["example_weight"]["clean"] is not None
    # What was evaluated, with each replica's own statistics, is what was exported, with one set of them.
    capsys.readouterr()
    experiment.run(config.from_values(SHORT | changes | {"workdir": str(tmp_path / "famus"), "mode": "evaluate"}))
    assert f"test accuracy {meta['test_accuracy']['last']:.4f}," in capsys.readouterr().out


def start(workdir, network):
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "famus_tf.main", *FLAGS, f"--network={network}", f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def test_killed_in_mid_epoch_it_goes_on_and_ends_with_the_same_weights(tmp_path, network):
    whole = start(tmp_path / "whole", network)
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    killed = start(tmp_path / "killed", network)
    deadline = time.time() + 300
    state = tmp_path / "killed" / "checkpoints" / "checkpoint"
    # Step 3 of 5 is in the middle of the first epoch.
    while not (state.exists() and "ckpt-3" in state.read_text()):
        assert killed.poll() is None, killed.stdout.read()
        assert time.time() < deadline
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "results.json").exists()
    again = start(tmp_path / "killed", network)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "goes on after step" in output
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed")]
    for result in results:
        for name in ("train_seconds_per_step", "train_seconds_per_meta_step"):
            result.pop(name)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"meta_per_class": 500}, "500"),
        ({"batch_size": 100000}, "--batch_size=100000: expected at most the "),
        ({"dataset": "fashion_mnist", "data_dir": "/nonexistent"}, None),
    ],
)
def test_data_that_does_not_fit(tmp_path, monkeypatch, changes, said):
    from famus_tf.data.sets import fashion_mnist

    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "absent"))
    with pytest.raises(errors.InputError) as caught:
        run(tmp_path / "run", **changes)
    if said is None:
        for way in ("option `data_dir`", "dataset-fashion-mnist", "tensorflow_datasets"):
            assert way in str(caught.value)
    else:
        assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_run_directory_of_other_flags_is_refused(finished):
    workdir, _ = finished
    with pytest.raises(errors.InputError, match=r"--noise_rate: the run directory has 0.6, this command has 0.4"):
        run(workdir, noise_rate=0.4)


def test_unwritable_run_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InputError, match="cannot write there"):
        run(tmp_path / "file" / "run")


def test_missing_export_and_missing_checkpoint(tmp_path):
    for mode, said in (("evaluate", "no SavedModel"), ("export", "not a run directory")):
        with pytest.raises(errors.InputError, match=said):
            experiment.run(config.from_values(SHORT | {"mode": mode, "workdir": str(tmp_path / "none")}))


def test_errors_of_a_run_are_one_line_without_traceback(tmp_path, capfd):
    arguments = ["famus_tf", *FLAGS, "--meta_per_class=500", f"--workdir={tmp_path / 'run'}"]
    assert main.main(arguments) == 2
    errors_printed = [line for line in capfd.readouterr().err.splitlines() if "famus_tf" in line]
    assert len(errors_printed) == 1
    assert errors_printed[0].startswith("famus_tf: error: ")
