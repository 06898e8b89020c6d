"""Numbers that are not finite end a run, with the step and the likely cause; a collapse is told once."""

import json
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import main
from famus_tf.experiment import build_run
from famus_tf.training import divergence, progress
from tests import co_divide_runs, small_networks

FINE = {
    "index": np.arange(3),
    "example_weight": np.ones(3, np.float32),
    "loss": np.float32(1.0),
    "meta_loss": np.float32(2.0),
    "gates": np.ones(2, np.float32),
    "meta_gradient": np.ones(4, np.float32),
}


@pytest.fixture
def method():
    made = famus_tf.FaMUS(small_networks.residual("float32"))
    made.compile(keras.optimizers.SGD(1e30), keras.optimizers.Adam(2e30), keras.optimizers.SGD(3e30, momentum=0.9))
    return made


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("loss", np.float32("nan"), "the training loss of step 7 is nan; .*`base_learning_rate` is 1e\\+30"),
        ("loss", np.float32("inf"), "the training loss of step 7 is inf; "),
        ("meta_loss", np.float32("nan"), "the meta loss of step 7 is nan; .*`base_learning_rate` is 1e\\+30"),
        ("meta_gradient", np.array([1, -np.inf]), "the meta gradient of step 7 is -inf; .*`base_learning_rate`"),
        ("example_weight", np.array([1, np.nan]), "an example's weight of step 7 is nan; .*`meta_learning_rate` is 2e"),
    ],
)
def test_records_of_a_step(method, name, value, said):
    divergence.check_records(FINE, method, 7)
    with pytest.raises(divergence.Diverged, match=said):
        divergence.check_records(FINE | {name: value}, method, 7)


def test_a_weight_decay_that_is_the_cause(method):
    method.weight_decay = 1e30
    method.optimizer.learning_rate = 0.1
    with pytest.raises(divergence.Diverged, match=r"steps larger than the weights, .*`weight_decay` is 1e"):
        divergence.check_records(FINE | {"loss": np.float32("nan")}, method, 7)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        (lambda method: method.network.get_layer("conv2").kernel, "conv2/kernel is .*`base_learning_rate` is 1e"),
        (lambda method: method.network.get_layer("a_bn").moving_variance, "moving_variance is .*`base_learning_rate`"),
        (lambda method: method.meta_learner.variables[0], "weight1 is not finite after .*`meta_learning_rate` is 2e"),
        (
            lambda method: method.selector.trainable_variables[0],
            "fc1_.* is not finite after .*`sampler_learning_rate` is 3e",
        ),
        (lambda method: method.sampler_optimizer.variables[2], "momentum is not .*`sampler_learning_rate` is 3e"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_variables(method, variable, said, value):
    strategy = tf.distribute.get_strategy()
    divergence.check_variables([method], strategy, 5)
    found = variable(method)
    found.assign(keras.ops.full(found.shape, value))
    with pytest.raises(divergence.Diverged, match=said):
        divergence.check_variables([method], strategy, 5)
    with pytest.raises(
        divergence.Diverged, match="is not finite at the start; likely cause: the weights that training"
    ):
        divergence.check_variables([method], strategy, 0)


def test_variables_of_several_replicas(two_replicas):
    with two_replicas.scope():
        made = famus_tf.FaMUS(small_networks.residual("float32"), famus_tf.CrossEntropy())
        made.compile(keras.optimizers.SGD(0.1))
    divergence.check_variables([made], two_replicas, 5)
    made.network.get_layer("conv2").kernel.assign(keras.ops.full((3, 3, 4, 4), np.nan))
    with pytest.raises(divergence.Diverged, match="conv2/kernel is not finite after step 5"):
        divergence.check_variables([made], two_replicas, 5)


def test_an_evaluation(method):
    logs = [{"test_loss": 1.0, "test_class_accuracy": [None, 1.0]}]
    divergence.check_logs(logs, [method], 9)
    with pytest.raises(divergence.Diverged, match="the validation loss after step 9 is nan; likely cause: too high"):
        divergence.check_logs([*logs, {"validation_loss": float("nan")}], [method], 9)


def _method(weighs=True, learned=True, expected_layers=1):
    rates = {name: types.SimpleNamespace(learning_rate=0.5) for name in ("base", "meta", "sampler")}
    return types.SimpleNamespace(
        meta_learner=types.SimpleNamespace(weighs_examples=weighs),
        selector=types.SimpleNamespace(learned=learned, expected_layers=expected_layers),
        optimizers=rates,
    )


def _progress(weights, gates, meta_steps=100):
    done = progress.Progress(4, 3)
    done.example_weight[:3] = weights
    done.gate_steps = meta_steps
    done.history.append({"gates": gates})
    return done


MIXED = [0.1, 0.9, 0.5]


@pytest.mark.parametrize(
    ("weights", "gates", "said"),
    [
        (MIXED, [0.2, 0.9, 0.0], None),
        (
            [0.5, 0.501, 0.502],
            [0.2, 0.9, 0.0],
            "all example weights are alike, 0.501, as if there were no meta-learner",
        ),
        ([1.0, 1.0, 1.0], [0.2, 0.9, 0.0], "all example weights are alike, 1.000"),
        ([1e-5, 3e-3, 0.0], [0.2, 0.9, 0.0], "all example weights are below 0.01, so that next to nothing is learned"),
        (MIXED, [0.0, 0.0, 0.0], "the sampler has selected no layer in any step"),
        (MIXED, [1.0, 1.0, 1.0], "the sampler has selected all 3 layers in every step, which saves nothing"),
    ],
)
def test_a_collapse_is_told_once(capsys, weights, gates, said):
    done, method = _progress(weights, gates), _method()
    for _ in range(2):
        divergence.note_collapse(done, method)
        restored = progress.Progress(4, 3)
        restored.deserialize(done.serialize())  # nor after a resume
        divergence.note_collapse(restored, method)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (said is not None)
    assert said is None or lines[0].startswith(f"after epoch 1: {said}")


@pytest.mark.parametrize(
    ("options", "meta_steps"),
    [({}, 10), ({"weighs": False, "learned": False}, 100), ({"weighs": False, "expected_layers": 3}, 100)],
    ids=["too early", "nothing learned", "all layers wished for"],
)
def test_what_is_no_collapse(capsys, options, meta_steps):
    divergence.note_collapse(_progress([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], meta_steps), _method(**options))
    assert capsys.readouterr().out == ""


SHORT = ["--dataset=digits", "--train_limit=80", "--batch_size=16", "--meta_batch_size=16", "--epochs=3"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return f"--network={small_networks.save_convolutions(tmp_path_factory.mktemp('networks') / 'small.keras')}"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--method=cross_entropy", "--base_learning_rate=1e30"],
            r"the training loss of step 2 is nan; .*--base_learning_rate is 1e\+30",
        ),
        (["--selector=all", "--base_learning_rate=1e30"], r"the meta loss of step \d+ is nan.*--base_learning_rate is"),
        (["--selector=all", "--meta_learning_rate=1e38", "--meta_optimizer=sgd"], "--meta_learning_rate is 1e"),
        (["--sampler_learning_rate=1e38"], "--sampler_learning_rate is 1e"),
    ],
    ids=["weights", "look-ahead", "theta", "sampler"],
)
def test_a_run_that_diverges_ends_in_one_line(network, tmp_path, monkeypatch, capsys, flags, said):
    co_divide_runs.without_pictures(monkeypatch)
    workdir = tmp_path / "run"
    status = main.main(["famus_tf", *SHORT, *flags, network, f"--workdir={workdir}", "--checkpoint_every=3"])
    error = capsys.readouterr().err
    assert status == 2 and error.count("\n") == 1 and error.startswith("famus_tf: error: ")
    assert f"{workdir / 'checkpoints'} has " in error and "another --workdir" in error
    assert re.search(said, error), error
    assert not (workdir / "results.json").exists()


def test_a_good_checkpoint_is_named_and_kept(network, tmp_path, monkeypatch, capsys):
    """The rate is raised in mid-run: what was saved before is finite, and the sentence names its step."""
    co_divide_runs.without_pictures(monkeypatch)

    class Raise(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                self.model.optimizer.learning_rate = 1e30

    monkeypatch.setattr(build_run, "make_callbacks", lambda *parts: [Raise()])
    workdir = tmp_path / "run"
    flags = [*SHORT, "--method=cross_entropy", network, f"--workdir={workdir}", "--checkpoint_every=2"]
    assert main.main(["famus_tf", *flags]) == 2
    assert "has the last checkpoint before it, of step 4; expected finite numbers" in capsys.readouterr().err
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    for name, dtype in reader.get_variable_to_dtype_map().items():
        assert not dtype.is_floating or np.isfinite(reader.get_tensor(name)).all(), name


def test_a_checkpoint_that_is_not_finite_is_refused(network, tmp_path, monkeypatch, capsys):
    """As earlier versions wrote them."""
    co_divide_runs.without_pictures(monkeypatch)
    workdir = tmp_path / "run"
    flags = [*SHORT, "--method=cross_entropy", "--base_learning_rate=1e30", network, f"--workdir={workdir}"]
    with monkeypatch.context() as patch:
        for name in ("check_records", "check_variables", "check_logs"):
            patch.setattr(divergence, name, lambda *parts: None)
        assert main.main(["famus_tf", *flags]) == 0
    text = (workdir / "results.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["test_top5"] is not None
    for mode in ("train", "export"):
        assert main.main(["famus_tf", *flags, f"--mode={mode}"]) == 2
        assert "is not finite after step 15; likely cause" in capsys.readouterr().err
