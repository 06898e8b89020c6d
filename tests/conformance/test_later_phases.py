"""What holds for methods whose epochs differ, in all of their stages; `test_methods.py` looks at the first steps alone.

Each run is long enough for every stage: T is estimated, labels are judged, a round of selection ends.
"""

import json

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import methods, networks
from famus_tf.config import config
from famus_tf.experiment import build_data, build_run
from famus_tf.methods import base
from famus_tf.training import interruption
from tests import killed_runs, small_networks

STAGES = {
    "forward": {"estimate_epochs": 2},
    "gold_loss": {"estimate_epochs": 2},
    "m_correction": {"m_correction_epochs": 1, "m_correction_alpha": 2.0},
    "d2l": {"d2l_epochs": 0},
    "incv": {"incv_rounds": 2, "incv_candidate_epochs": 1},
    "bbn": {},
    "crt": {},
    "tau_norm": {},
    "pls": {"pls_epochs": 1},
    "ssr": {"ssr_neighbours": 10},
    "pes": {"pes_epochs": 1, "pes_head_epochs": 1},
}
_FLAGS = {
    "dataset": "digits",
    "train_limit": 64,
    "noise": "symmetric",
    "noise_rate": 0.4,
    "meta_per_class": 2,
    "batch_size": 16,
    "meta_batch_size": 8,
    "base_learning_rate": 0.05,
    "lr_schedule": "cosine",
    "epochs": 4,
    "eval_batch_size": 100,
    "label_report": False,
}
EPOCH_STEPS = 4


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Of two convolutions, without BatchNorm, so that two replicas have the same numbers as one."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(False, input_shape, num_classes, count=2)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)


@pytest.fixture(autouse=True)
def begun(monkeypatch, earlier):
    """Methods that go on from a trained network have one."""
    for method in ("crt", "tau_norm"):
        monkeypatch.setitem(STAGES, method, {"init_from": earlier})


@pytest.fixture(params=sorted(STAGES))
def name(request):
    """A method whose epochs differ."""
    return request.param


def _run(name, folder, strategy=None, **changes):
    settings = config.from_values(_FLAGS | STAGES[name] | {"method": name, "workdir": str(folder)} | changes)
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    folder.mkdir(exist_ok=True)
    return settings, build_run.assemble(settings, dataset, strategy or tf.distribute.get_strategy(), folder)


def _values(run):
    (method,) = run.methods
    return {variable.path: variable.numpy() for variable in method.variables if "seed" not in variable.path}


def test_each_method_with_stages_is_here():
    differ = set()
    for name in methods.BY_NAME:
        begun = {"init_from": STAGES.get(name, {}).get("init_from", "")}
        values = _FLAGS | begun | {"method": name, "epochs": 40}
        settings = config.from_values(values)
        dataset = build_data.make_dataset(settings.data, 0)
        method = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
        if method.draws_epochs or type(method).begin_epoch is not base.Method.begin_epoch:
            differ.add(name)
    assert differ == set(STAGES)


def test_one_replica_is_two_in_every_stage(name, tmp_path, two_replicas):
    settings, one = _run(name, tmp_path / "one")
    build_run.training_loop(settings.run, one).run()
    settings, two = _run(name, tmp_path / "two", two_replicas)
    build_run.training_loop(settings.run, two).run()
    expected, found = _values(one), _values(two)
    assert len(found) == len(expected) > 4
    for (path, value), other in zip(expected.items(), found.values(), strict=True):
        np.testing.assert_allclose(other, value, rtol=2e-3, atol=2e-4, err_msg=path)


def test_killed_anywhere_it_ends_the_same(name, tmp_path):
    """In the middle of each epoch: what was found before its first step is not looked for again, nor lost."""
    settings, whole = _run(name, tmp_path / "whole")
    build_run.training_loop(settings.run, whole).run()
    for stop in range(2, 4 * EPOCH_STEPS, EPOCH_STEPS):
        settings, again = _run(name, tmp_path / "again", checkpoint_every=1)
        again.checkpoints.restore()
        assert again.history.step == max(0, stop - EPOCH_STEPS)
        with killed_runs.after_saving(stop, (KeyboardInterrupt, interruption.Interrupted)):
            build_run.training_loop(settings.run, again).run()
    settings, again = _run(name, tmp_path / "again", checkpoint_every=1)
    assert again.checkpoints.restore()
    build_run.training_loop(settings.run, again).run()
    for (path, value), other in zip(_values(whole).items(), _values(again).values(), strict=True):
        np.testing.assert_array_equal(other, value, err_msg=path)
    histories = [json.loads(json.dumps(run.history.epochs)) for run in (whole, again)]
    assert histories[0] == histories[1] and len(histories[0]) == 4
