"""What holds for every method of `methods.BY_NAME`, whichever it is: a new one is tested when it has a line here.

`NEUTRAL` says with which flags it is plain training on cross-entropy. Methods that choose layers are looked at with
`--selector=all`, and with `agreement`, whose steps are not all alike.
"""

import json

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import methods, networks
from famus_tf.config import config
from famus_tf.config.method import METHODS
from famus_tf.data.images import in_graph
from famus_tf.experiment import build_data, build_run, evaluate, modes, train
from famus_tf.training import progress
from famus_tf.training import step as steps
from tests import killed_runs, small_networks

NEUTRAL = {
    "cross_entropy": {},
    "mw_net": {"meta_from_epoch": 100},
    "cmw_net": {"meta_from_epoch": 100},
    "l2r": {"meta_from_epoch": 100},
    "mlc": {"meta_from_epoch": 100},
    "soft_labels": {"meta_from_epoch": 100},
    "memory_weight_net": {"meta_from_epoch": 100},
    "running_score": {"meta_from_epoch": 100},
    "running_probability": {"meta_from_epoch": 100},
    "co_teaching": {"forget_rate": 0.0},
    "jocor": {"forget_rate": 0.0, "joint_weight": 0.0},
    "jamal": {"meta_from_epoch": 100},
    "decoupling": {"decoupling_epochs": 100},
    "mixup": {"mix_alpha": 0.0},
    "mentornet": {"mentor_burn_in": 1.0, "mentor_dropout": ()},
    "mentormix": {"mentormix_alpha": 0.0},
    "forward": {"estimate_epochs": 100},
    "gold_loss": {"estimate_epochs": 100},
    "m_correction": {"m_correction_epochs": 100, "m_correction_alpha": 0.0},
    "d2l": {"d2l_epochs": 100},
    "incv": {"incv_rounds": 0},
    "elr": {"elr_strength": 0.0},
    "elr_plus": {"elr_strength": 0.0, "elr_mixup_alpha": 0.0},
    "pls": {"pls_epochs": 100, "mix_alpha": 0.0},
    "ssr": {"ssr_mixup_alpha": 0.0},
    "pes": {"pes_epochs": 100},
    "crt": None,  # goes on from a trained network; tests/methods/test_on_a_trained_network.py
    "tau_norm": None,  # trains nothing; the same file
    "bbn": None,  # its classifier has twice as many inputs; tests/methods/test_bbn.py
}
# For short runs.
_SHORT = {
    "co_teaching": {"forget_epochs": 2},
    "jocor": {"forget_epochs": 2},
    "gold_loss": {"estimate_epochs": 1},
}
_WITH_AGREEMENT = (
    "mw_net agreement",
    "memory_weight_net agreement steadied",
    *(pytest.param(f"{name} agreement", marks=pytest.mark.slow) for name in ("l2r", "mlc")),
)
_FLAGS = {
    "dataset": "digits",
    "train_limit": 80,
    "noise": "symmetric",
    "noise_rate": 0.4,
    "meta_per_class": 2,
    "batch_size": 16,
    "meta_batch_size": 8,
    "selector": "all",
    "base_learning_rate": 0.05,
    "train_steps": 10,
    "eval_batch_size": 200,
    "checkpoint_every": 10_000,
    "label_report": False,
}


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Of two convolutions, without BatchNorm, so that two replicas have the same numbers as one."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(False, input_shape, num_classes, count=2)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)


@pytest.fixture(autouse=True)
def quick_ends(monkeypatch):
    """Runs without pictures, and exports that do not look for EXIF data: neither knows which method it was."""
    monkeypatch.setattr(train, "_draw", lambda *args: None)
    monkeypatch.setattr(in_graph, "orientation", lambda contents: tf.constant(1))


# `_WITH_AGREEMENT` takes their steps too, and more; all are looked at by `-m slow`.
_ALIKE = ("mw_net", "cmw_net", "memory_weight_net", "running_score", "running_probability")
_NAMES = [pytest.param(one, marks=[pytest.mark.slow] if one in _ALIKE else []) for one in sorted(methods.BY_NAME)]


@pytest.fixture(params=[*_NAMES, *_WITH_AGREEMENT])
def name(request):
    """A method, or one with another selector behind it."""
    return request.param


@pytest.fixture(autouse=True)
def begun(monkeypatch, earlier):
    """These methods begin there."""
    for name, kind in METHODS.items():
        if kind.begins_trained:
            monkeypatch.setitem(_SHORT, name, {"init_from": earlier})


def _settings(name, **changes):
    method, *selector = name.split()
    chosen = {"selector": selector[0], "agreement_every": 2} if selector else {}
    if "steadied" in selector:
        chosen["validation_momentum"] = 0.75
    return config.from_values(_FLAGS | {"method": method} | _SHORT.get(method, {}) | chosen | changes)


def _made(settings, strategy=None):
    """A method, and its batches, training and meta, by the step."""
    strategy = strategy or tf.distribute.get_strategy()
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    with strategy.scope():
        method = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
    feed = build_data.make_feed(settings.optimization, dataset, strategy, settings.run.seed, 200)
    return method, list(zip(feed.training(0, 10), feed.meta(0, 10), strict=True))


def _pair(method, number, batches, before=0):
    training, meta = batches[number]
    return training, meta if method.is_meta_step(before + number) else None


def _train(method, batches, strategy=None, count=6, before=0):
    """Takes steps, compiled as in a run; returns their records."""
    step = steps.compile_step(strategy or tf.distribute.get_strategy(), method)
    records = []
    for number in range(count):
        training, meta = _pair(method, number, batches, before)
        variant = None if meta is None else method.variant_of(before + number)
        records.append(steps.gather(step(training, meta, variant)[0]))
    return records


def _numbers(method):
    return {variable.path: variable.numpy() for network in method.networks for variable in network.variables}


def _assert_close(found, expected, rtol=1e-5, atol=2e-6):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def test_each_has_its_line_here_and_in_the_flags():
    assert set(NEUTRAL) == set(methods.BY_NAME) == set(METHODS)


def test_eager_is_graph_and_records_are_those_that_the_loop_knows(name):
    (eager, batches), (graph, _) = _made(_settings(name)), _made(_settings(name))
    expected = _train(graph, batches, count=3)
    for number in range(3):
        training, meta = _pair(eager, number, batches)
        records = eager.step(training if meta is None else (training, meta), with_meta=meta is not None)
        _assert_close(
            [records["loss"], records["example_weight"]], [expected[number][k] for k in ("loss", "example_weight")]
        )
    _assert_close(list(_numbers(eager).values()), list(_numbers(graph).values()))
    for records in expected:
        assert {"index", "example_weight", "loss"} <= set(records) <= set(steps.StepRecords.__annotations__)
        assert records["index"].shape == records["example_weight"].shape == (16,)
        assert records["example_weight"].dtype == np.float32 and np.shape(records["loss"]) == ()
    kind = METHODS[name.split()[0]]
    assert graph.needs_meta_batches == any(graph.is_meta_step(number) for number in range(10)) == kind.needs_meta_set
    assert len(graph.networks) == kind.networks


def test_one_replica_is_two(name, two_replicas):
    one, batches = _made(_settings(name))
    two, shared = _made(_settings(name), two_replicas)
    records, of_two = _train(one, batches), _train(two, shared, two_replicas)
    for found, expected in zip(of_two, records, strict=True):
        np.testing.assert_array_equal(found["index"], expected["index"])
        _assert_close(
            [found["loss"], found["example_weight"]], [expected["loss"], expected["example_weight"]], 1e-4, 1e-5
        )
    _assert_close(list(_numbers(two).values()), list(_numbers(one).values()), 1e-4, 1e-5)


def test_a_checkpoint_holds_all_that_the_next_step_needs(name, tmp_path):
    method, batches = _made(_settings(name))
    _train(method, batches, count=3)
    done = progress.Progress(80, len(method.gated_layers))
    progress.Checkpoints([method], [done], tmp_path).save()
    again, _ = _made(_settings(name))  # of the same seed, as what a method draws by itself follows from it
    for variable in _all_variables(again):
        variable.assign(_other(variable.numpy()))
    assert progress.Checkpoints([again], [progress.Progress(80, len(again.gated_layers))], tmp_path).restore()
    later = batches[3:]
    _assert_equal([_train(one, later, count=3, before=3) for one in (again, method)])
    for found, expected in zip(_numbers(again).values(), _numbers(method).values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_checkpoint_holds_every_variable(name, tmp_path, monkeypatch):
    """With BatchNorm, whose statistics no step needs, but evaluation does."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(True, input_shape, num_classes, count=2)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)
    begun = {}
    if METHODS[name.split()[0]].begins_trained:
        begun = {"init_from": small_networks.save_convolutions(tmp_path / "net.keras", True, count=2)}
    method, batches = _made(_settings(name, **begun))
    _train(method, batches, count=2)
    checkpoints = progress.Checkpoints([method], [progress.Progress(80, len(method.gated_layers))], tmp_path)
    checkpoints.save()
    variables = _all_variables(method)
    assert sum("moving" in variable.path for variable in variables) >= 4 * len(method.networks)
    saved = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(_other(value))
    assert checkpoints.restore()
    for variable, value in zip(variables, saved, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def _all_variables(method):
    return [*method.variables, *(one for optimizer in method.optimizers.values() for one in optimizer.variables)]


def _other(value):
    return ~value if value.dtype == bool else value + np.ones_like(value)


def _assert_equal(pair):
    for found, expected in zip(*pair, strict=True):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=key)


def _run(workdir, name, **changes):
    modes.run(_settings(name, workdir=str(workdir), **changes))
    return json.loads((workdir / "results.json").read_text())


def test_killed_in_mid_epoch_it_ends_the_same_and_exports(name, tmp_path, monkeypatch, capsys):
    """From the command's flags to the SavedModel, which is the mean of the networks."""
    whole = _run(tmp_path / "whole", name)
    with monkeypatch.context() as patch:
        patch.setattr(train.exports, "write", lambda *args: None)  # seconds, and the whole run has shown it
        with killed_runs.after_saving():
            _run(tmp_path / "again", name, checkpoint_every=7)  # of five steps in an epoch
        again = _run(tmp_path / "again", name, checkpoint_every=7)
    for results in (whole, again):
        for timed in ("train_seconds_per_step", "train_seconds_per_meta_step"):
            for one in (results, *results.get("networks", ())):
                one.pop(timed)
    assert again == whole
    assert whole["steps"] == 10 and np.isfinite(whole["history"][-1]["loss"])
    capsys.readouterr()
    monkeypatch.setattr(evaluate.evaluation_pictures, "draw_confusion", lambda *args: None)
    modes.run(_settings(name, workdir=str(tmp_path / "whole"), mode="evaluate"))
    said = capsys.readouterr().out
    assert f"test accuracy {whole['test_accuracy']['last']:.4f}" in said
    exported = tf.saved_model.load(str(tmp_path / "whole" / "export"))
    assert exported.signatures["serving_default"].structured_outputs["logits"].shape[1] == 10


@pytest.fixture(scope="module")
def plain():
    """Where the weights after eight steps of cross-entropy are kept, once a test has asked for them."""
    return {}


def test_neutral_it_is_cross_entropy_to_the_bit(name, plain):
    neutral = NEUTRAL[name.split()[0]]
    if neutral is None:
        pytest.skip("never plain training")
    method, batches = _made(_settings(name, **neutral))
    _train(method, batches, count=8)
    if not plain:
        expected, _ = _made(_settings("cross_entropy"))
        _train(expected, batches, count=8)
        plain |= _numbers(expected)
    found = method.networks[0].variables
    assert len(found) == len(plain) > 4
    for variable, wanted in zip(found, plain.values(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), wanted, err_msg=variable.path)
