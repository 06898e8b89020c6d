"""The paper's diagnostics: pictures against the numbers they show, and a whole run with every log switched on."""

import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import meta_gradient_variance
from famus_tf import config, diagnostics, errors, experiment, training

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
    record = training.Progress.record

    def recorded(progress, values):
        records[progress.step] = values
        if progress.step in interruptions:
            interruptions.remove(progress.step)
            raise KeyboardInterrupt
        record(progress, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Progress, "record", recorded)
        with pytest.raises(KeyboardInterrupt):
            experiment.run(settings)
        experiment.run(settings)
    return workdir, [records[step] for step in range(1, 11)]


@pytest.fixture(scope="module")
def events(resumed):
    """The run's TensorBoard logs."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(str(resumed[0] / "tensorboard"), size_guidance={"tensors": 0})
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
    axes = diagnostics.selection_figure(history, ["001_a", "002_b", "003_c"]).axes[0]
    (image,) = axes.get_images()
    np.testing.assert_array_equal(
        np.ma.filled(image.get_array(), -1), [[0.0, -1, 0.5], [0.25, -1, 0.0], [1.0, -1, 1.0]]
    )
    assert image.origin == "lower"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["001_a", "002_b", "003_c"]
    assert image.get_extent() == [2.5, 5.5, -0.5, 2.5]


def test_selection_figure_of_many_layers_names_some_of_them():
    names = [f"{n:03d}_layer" for n in range(1, 451)]
    figure = diagnostics.selection_figure([{"epoch": 1, "gates": [0.0] * 450}], names)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == names[0]
    assert 10 < len(labels) <= 32
    assert diagnostics.pixels(figure).shape[2] == 4


def test_nothing_to_draw_without_gates(tmp_path):
    assert diagnostics.selection_figure([{"epoch": 1}], ["001_a"]) is None
    diagnostics.draw_selection(tmp_path / "gates.png", [{"epoch": 1}], ["001_a"])
    assert not (tmp_path / "gates.png").exists()


def test_the_meta_gradient_of_l2r_is_refused(tmp_path):
    settings = config.from_values(FLAGS | {"method": "l2r", "workdir": str(tmp_path / "run")})
    with pytest.raises(errors.InputError, match="--log_meta_gradient with --method=l2r"):
        experiment.run(settings)
    assert not (tmp_path / "run").exists()


def write_run(directory, seed, variances, **flags):
    """A run directory with a variance for each epoch of ten steps."""
    directory.mkdir()
    lines = [f"--seed={seed}", *(f"--{name}={value}" for name, value in flags.items())]
    (directory / "flags.cfg").write_text("\n".join(lines))
    history = [
        {"step": 10 * n, "meta_gradient": {"variance": value, "relative_variance": 2 * value}}
        for n, value in enumerate(variances, start=1)
    ]
    results = {"test_accuracy": {"peak": 0.5, "last": 0.5}, "history": history}
    (directory / "results.json").write_text(json.dumps(results))
    return directory


def test_variance_picture_has_a_line_for_each_method(tmp_path, capsys, monkeypatch):
    runs = [
        write_run(tmp_path / "a", 0, [3.0, 2.0, None], method="mw_net", selector="all"),
        write_run(tmp_path / "b", 1, [5.0, 4.0, 1.0], method="mw_net", selector="all"),
        write_run(tmp_path / "c", 0, [0.2, 0.1, 0.1], method="mw_net", selector="sampler"),
    ]
    figures = []
    savefig = meta_gradient_variance.matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        meta_gradient_variance.matplotlib.figure.Figure,
        "savefig",
        lambda self, *args, **kwargs: (figures.append(self), savefig(self, *args, **kwargs)),
    )
    out = tmp_path / "out.png"
    assert meta_gradient_variance.main([*map(str, runs), f"--out={out}"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")
    for axes, scale in zip(figures[0].axes, (1, 2), strict=True):
        exact, famus = axes.get_lines()
        np.testing.assert_allclose(exact.get_xydata(), [[10, 4.0 * scale], [20, 3.0 * scale]])
        np.testing.assert_allclose(famus.get_xydata(), [[10, 0.2 * scale], [20, 0.1 * scale], [30, 0.1 * scale]])
    labels = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert labels == ["MW-Net, all layers (2 seeds)", "MW-Net + FaMUS (seed 0)"]


def test_variance_picture_of_a_run_without_it_is_refused(tmp_path, capsys):
    run = write_run(tmp_path / "a", 0, [None, None], method="mw_net")
    assert meta_gradient_variance.main([str(run), f"--out={tmp_path / 'out.png'}"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("meta_gradient_variance: error: no meta gradient recorded")
    assert printed.count("\n") == 1
