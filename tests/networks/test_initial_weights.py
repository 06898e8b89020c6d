"""Weights out of an earlier run: which are taken, which are left, and what is refused."""

import keras
import numpy as np
import pytest

from famus_tf import errors, networks
from famus_tf.config import config
from famus_tf.evaluation import saved_model
from famus_tf.experiment import build_run, export, modes
from famus_tf.networks import initial_weights
from famus_tf.training import interruption
from tests import killed_runs, small_networks


@pytest.fixture(scope="module")
def earlier():
    """A network with BatchNorm and Dropout whose weights are none that a network begins with."""
    return small_networks.shaken(small_networks.convolutions(True))


@pytest.fixture(params=["keras", "export", "run"])
def place(request, earlier, tmp_path):
    """The same network in each form that is read."""
    if request.param == "keras":
        earlier.save(tmp_path / "net.keras")
        return str(tmp_path / "net.keras")
    saved_model.export(earlier, tmp_path / "run" / "export", (8, 8, 1), list("abcdefghij"))
    return str(tmp_path / "run" / ("export" if request.param == "export" else ""))


def test_all_weights_are_taken(place, earlier):
    network = small_networks.convolutions(True)
    assert initial_weights.take(network, initial_weights.read(place), place) == []
    assert len(network.weights) > 6
    for found, expected in zip(network.weights, earlier.weights, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=found.path)


def test_a_classifier_of_other_classes_stays(place, earlier):
    network = small_networks.convolutions(True, num_classes=4)
    before = network.layers[-1].get_weights()
    left = initial_weights.take(network, initial_weights.read(place), place)
    assert left == ["classifier/kernel", "classifier/bias"]
    for found, expected in zip(network.layers[-1].get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(network.layers[2].get_weights()[0], earlier.layers[2].get_weights()[0])


def test_another_network_is_refused(place):
    weights = initial_weights.read(place)
    with pytest.raises(errors.InputError, match=r"has \d+ variables; expected the \d+ of network 'small'"):
        initial_weights.take(small_networks.convolutions(True, count=2), weights, place)
    wide = keras.Sequential(
        [keras.Input((8, 8, 3)), *[type(one).from_config(one.get_config()) for one in _layers(small_networks)]]
    )
    message = r"^option `init_from`=.*convolution1/kernel is of shape \(3, 3, 1, 12\)"
    with pytest.raises(errors.InputError, match=message):
        initial_weights.take(wide, weights, place)


def _layers(networks):
    return networks.convolutions(True, (8, 8, 3)).layers[1:]


@pytest.mark.parametrize("name", ["folder", "file.txt", "damaged.keras", "nothing"])
def test_what_cannot_be_read_is_one_sentence(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "damaged.keras").write_text("x")
    with pytest.raises(errors.InputError, match=r"^option `init_from`=.*expected .*"):
        initial_weights.read(str(tmp_path / name))


_FLAGS = {
    "dataset": "digits",
    "train_limit": 64,
    "meta_per_class": 0,
    "method": "cross_entropy",
    "batch_size": 16,
    "epochs": 1,
    "eval_batch_size": 100,
    "label_report": False,
}


def test_a_run_begins_where_another_ended(tmp_path, capsys):
    network = small_networks.save_convolutions(tmp_path / "net.keras")
    first = _FLAGS | {"network": network, "workdir": str(tmp_path / "first")}
    modes.run(config.from_values(first))
    second = first | {"workdir": str(tmp_path / "second"), "init_from": str(tmp_path / "first")}
    settings = config.from_values(second)
    (tmp_path / "second").mkdir()
    run = _assembled(settings, tmp_path / "second")
    expected = initial_weights.read(str(tmp_path / "first"))
    for variable, weight in zip(run.networks[0].weights, expected, strict=False):
        np.testing.assert_array_equal(variable, weight.value)
    modes.run(settings)
    (tmp_path / "first").rename(tmp_path / "gone")  # the run has its copy
    modes.run(config.from_values(second | {"mode": "evaluate"}))
    with export.restored(settings, "export") as found:
        assert found.run.history.step == 4
    capsys.readouterr()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("forward", {"estimate_epochs": 1}),
        ("pes", {"pes_epochs": 1, "pes_head_epochs": 1}),
        ("incv", {"incv_rounds": 1}),
    ],
)
def test_stopped_and_gone_on_it_begins_anew_where_it_began(tmp_path, method, options, monkeypatch):
    """Methods that go back to the start in mid-run: also where what they began with is gone."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(False, input_shape, num_classes)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)
    small_networks.shaken(small_networks.convolutions(False)).save(tmp_path / "net.keras")
    flags = _FLAGS | options | {"method": method, "init_from": str(tmp_path / "net.keras"), "epochs": 3, "ema": 0.5}
    runs = []
    for name in ("whole", "again"):
        settings = config.from_values(flags | {"workdir": str(tmp_path / name)})
        (tmp_path / name).mkdir()
        runs.append(_assembled(settings, tmp_path / name))
        if name == "again":
            with killed_runs.after_saving(error=(KeyboardInterrupt, interruption.Interrupted)):
                build_run.training_loop(settings.run, runs[-1]).run()
            (tmp_path / "net.keras").unlink()
            runs[-1] = _assembled(settings, tmp_path / name)
            assert runs[-1].checkpoints.restore() and 0 < runs[-1].history.step < 12
        build_run.training_loop(settings.run, runs[-1]).run()
    whole, again = ([*run.methods[0].variables] for run in runs)
    for found, expected in zip(again, whole, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=found.path)


def test_two_networks_have_classifiers_of_their_own(tmp_path, monkeypatch):
    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(False, input_shape, num_classes)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)
    earlier = small_networks.shaken(small_networks.convolutions(False))
    earlier.save(tmp_path / "net.keras")
    flags = _FLAGS | {"method": "co_teaching", "forget_rate": 0.2, "init_from": str(tmp_path / "net.keras")}
    (method,) = _assembled(config.from_values(flags), tmp_path).methods
    first, second = method.networks
    for layer, one, two in zip(earlier.layers, first.layers, second.layers, strict=True):
        for expected, found, other in zip(layer.get_weights(), one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert np.array_equal(other, expected) == (layer.name != "classifier"), layer.name


def _assembled(settings, workdir):
    import tensorflow as tf

    from famus_tf.experiment import build_data

    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    return build_run.assemble(settings, dataset, tf.distribute.get_strategy(), workdir)
