"""The paper's diagnostics: pictures against the numbers they show, and a whole run with every log switched on."""

import json
import statistics

import numpy as np
import pytest
import tensorflow as tf

from famus_tf.config import config
from famus_tf.experiment import modes as experiment
from famus_tf.profiling import stage_times
from famus_tf.reports import gates
from famus_tf.training import progress

FLAGS = {
    "dataset": "digits",
    "noise": "symmetric",
    "noise_rate": 0.6,
    "batch_size": 16,
    "meta_batch_size": 16,
    "train_limit": 80,
    "epochs": 2,
    "checkpoint_every": 3,
    "log_meta_gradient": True,
}


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run that is interrupted in its second epoch's third step of five and goes on from its first.

    Returns the run directory and the records of all steps, the step's number first.
    """
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    settings = config.from_values(FLAGS | {"workdir": str(workdir)})
    records, interruptions = {}, [8]
    record = progress.Progress.record

    def recorded(done, values):
        records[done.step] = values
        if done.step in interruptions:
            interruptions.remove(done.step)
            raise KeyboardInterrupt
        record(done, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Progress, "record", recorded)
        with pytest.raises(KeyboardInterrupt):
            experiment.run(settings)
        experiment.run(settings)
    return workdir, [records[step] for step in range(1, 11)]


@pytest.fixture(scope="module")
def events(resumed):
    """The run's TensorBoard logs."""
    return read_events(resumed[0])


def read_events(workdir):
    """All TensorBoard logs of a run directory."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(str(workdir / "tensorboard"), size_guidance={"tensors": 0})
    found.Reload()
    return found


def values_of(events, tag):
    """The values of a tag by step; of a step that was run twice the last."""
    return {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}


def test_statistics_of_a_resumed_run_are_those_of_its_records(resumed, events):
    workdir, records = resumed
    history = json.loads((workdir / "results.json").read_text())["history"]
    for epoch, steps in zip(history, (records[:5], records[5:]), strict=True):
        gradients = np.array([step["meta_gradient"] for step in steps], np.float64)
        assert gradients.shape[1] > 100
        found = epoch["meta_gradient"]
        assert found["steps"] == 5
        assert found["variance"] == pytest.approx(gradients.var(axis=0, ddof=1).mean(), rel=1e-6)
        assert found["norm"] == pytest.approx(np.linalg.norm(gradients, axis=1).mean(), rel=1e-6)
        share = np.mean([step["gates"] for step in steps], axis=0)
        np.testing.assert_allclose(epoch["gates"], share, atol=1e-6)
        for name in ("variance", "relative_variance", "norm"):
            written = values_of(events, f"meta/gradient_{name}")[epoch["step"]]
            assert written == pytest.approx(found[name], rel=1e-6)
        for tag in (tag for tag in events.Tags()["tensors"] if tag.startswith("gates/0")):
            layer = int(tag.removeprefix("gates/").split("_")[0])
            assert values_of(events, tag)[epoch["step"]] == pytest.approx(share[layer - 1], abs=1e-6)


@pytest.mark.slow
def test_timing_the_stages_leaves_the_run_as_it_is(resumed, tmp_path, monkeypatch):
    measure, measured = stage_times.measure, []

    def measure_once(*args, **kwargs):
        """Takes long to trace; that it may be called twice is not in question."""
        measured.append(measured[0] if measured else measure(*args, **kwargs))
        return measured[-1]

    monkeypatch.setattr(stage_times, "measure", measure_once)
    settings = FLAGS | {"log_stage_times": True, "workdir": str(tmp_path / "run")}
    experiment.run(config.from_values(settings))
    plain, timed = (json.loads((path / "results.json").read_text()) for path in (resumed[0], tmp_path / "run"))
    assert plain["history"] == timed["history"]
    assert plain["example_weight"] == timed["example_weight"]
    assert plain["stage_times"] == []
    assert [entry["step"] for entry in timed["stage_times"]] == [0, 10]
    events = read_events(tmp_path / "run")
    for entry in timed["stage_times"]:
        assert statistics.fsum(entry["seconds"].values()) > 0
        assert {"Virtual-Train forward", "Meta-Train tangent", "Actual-Train backward"} <= entry["seconds"].keys()
        written = values_of(events, "time/stage_meta_train_tangent")[entry["step"]]
        assert written == pytest.approx(entry["seconds"]["Meta-Train tangent"], rel=1e-6)


def test_pictures_of_the_selected_layers(resumed, events):
    workdir, _ = resumed
    images = values_of(events, "gates/selection")
    assert sorted(images) == [5, 10]
    width, height, png = images[10]
    shown = tf.io.decode_png(png)
    assert shown.shape[:2] == (int(height), int(width))
    kept = tf.io.decode_png(tf.io.read_file(str(workdir / "gates.png")))
    for picture in (shown, kept):
        assert np.unique(picture.numpy().reshape(-1, picture.shape[-1]), axis=0).shape[0] > 10


def test_selection_figure_shows_the_shares_with_the_input_at_the_bottom():
    history = [
        {"epoch": 3, "gates": [0.0, 0.25, 1.0]},
        {"epoch": 4},  # no meta step
        {"epoch": 5, "gates": [0.5, 0.0, 1.0]},
    ]
    axes = gates.selection_figure(history, ["001_a", "002_b", "003_c"]).axes[0]
    (image,) = axes.get_images()
    np.testing.assert_array_equal(
        np.ma.filled(image.get_array(), -1), [[0.0, -1, 0.5], [0.25, -1, 0.0], [1.0, -1, 1.0]]
    )
    assert image.origin == "lower"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["001_a", "002_b", "003_c"]
    assert image.get_extent() == [2.5, 5.5, -0.5, 2.5]


def test_selection_figure_of_many_layers_names_some_of_them():
    names = [f"{n:03d}_layer" for n in range(1, 451)]
    figure = gates.selection_figure([{"epoch": 1, "gates": [0.0] * 450}], names)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == names[0]
    assert 10 < len(labels) <= 32
    assert gates.pixels(figure).shape[2] == 4


def test_nothing_to_draw_without_gates(tmp_path):
    assert gates.selection_figure([{"epoch": 1}], ["001_a"]) is None
    gates.draw_selection(tmp_path / "gates.png", [{"epoch": 1}], ["001_a"])
    assert not (tmp_path / "gates.png").exists()
