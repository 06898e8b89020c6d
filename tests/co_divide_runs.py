"""Short whole runs of Algorithm 2, and what they leave behind."""

import contextlib
import json
import shutil
from unittest import mock

import numpy as np
import tensorflow as tf

from famus_tf.config import config
from famus_tf.evaluation import per_example, saved_model
from famus_tf.experiment import build_run
from famus_tf.experiment import modes as experiment
from famus_tf.methods import co_divide
from famus_tf.reports import pictures, splits
from famus_tf.training import progress

N = 160
WARM_UP = 3
ALGORITHM_2 = {
    "dataset": "digits",
    "noise": "symmetric",
    "noise_rate": 0.4,
    "train_limit": N,
    "meta_per_class": 0,
    "algorithm": "co_divide",
    "meta_set": "pseudo_clean",
    "meta_from_epoch": WARM_UP,
    "epochs": WARM_UP + 2,
    "batch_size": 8,
    "meta_batch_size": 4,
    "base_learning_rate": 0.05,
    "lr_schedule": "cosine",
    "eval_batch_size": 200,
    "checkpoint_every": 10_000,
    "summary_every": 4,
}


def run(workdir, network, **changes):
    """Runs what the flags say and returns the results."""
    experiment.run(config.from_values(ALGORITHM_2 | {"network": network, "workdir": str(workdir)} | changes))
    return json.loads((workdir / "results.json").read_text())


def without_pictures(monkeypatch):
    """Neither pictures nor TensorBoard nor a SavedModel, which take longer than these runs."""
    monkeypatch.setattr(build_run, "make_callbacks", lambda *parts: [])
    monkeypatch.setattr(saved_model, "export", lambda *parts, **options: None)
    monkeypatch.setattr(splits, "draw", lambda *parts: None)
    for name in ("draw", "draw_classes"):
        monkeypatch.setattr(pictures, name, lambda *parts: None)


@contextlib.contextmanager
def scans(found):
    """Appends the losses of each network in each scan in this context, as they are, to a list."""
    make_scanner = per_example.make_scanner

    def watched(*arguments):
        scanner = make_scanner(*arguments)

        def scan(batches):
            said = scanner(batches)
            found.append(said.loss[:N])
            return said

        return scan

    with mock.patch.object(per_example, "make_scanner", watched):
        yield


@contextlib.contextmanager
def copied_in_mid_epoch(workdir, copy):
    """Lets a run write two checkpoints: at its end, and in the first epoch after the warm-up when the last network has
    done two or three steps of its turn. `copy` becomes a run directory that stops with the latter, as if killed there.

    Runs in this context have `checkpoint_every=2`.
    """
    save, copied = progress.Checkpoints.save, []

    def save_at_times(self):
        last = self.progress[-1]
        if len(last.history) == WARM_UP and last.epoch_step in (2, 3):
            assert all(other.epoch_step > 3 for other in self.progress[:-1])
            save(self)
            shutil.copytree(workdir / "checkpoints", copy / "checkpoints")
            shutil.copy(workdir / "flags.cfg", copy)
            copied.append(self.step)
        elif len(last.history) == ALGORITHM_2["epochs"]:
            save(self)

    with mock.patch.object(progress.Checkpoints, "save", save_at_times):
        yield
    assert len(copied) == 1


def weights(workdir):
    """All numbers of the newest checkpoint but what `state_of` reads: weights, optimizers, seeds, means."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith(("trainers/", "seeds/", "means/"))]
    return {name: reader.get_tensor(name) for name in names}


def state_of(workdir, networks, count=N):
    """`CoDivideState` and the list of `Progress` in the newest checkpoint."""
    divisions = co_divide.CoDivideState(networks, count)
    done = [progress.Progress(count, 1) for _ in range(networks)]
    checkpoint = tf.train.Checkpoint(state=divisions, progress=done)
    checkpoint.restore(tf.train.latest_checkpoint(str(workdir / "checkpoints"))).expect_partial()
    return divisions, done


def assert_same_end(found, expected, networks):
    """That two run directories hold the same weights, states, splits and histories, to the last bit."""
    numbers, others = weights(found), weights(expected)
    assert numbers.keys() == others.keys() and len(numbers) > 10
    for name, value in others.items():
        np.testing.assert_array_equal(numbers[name], value, err_msg=name)
    (divisions, done), (other_divisions, other_done) = state_of(found, networks), state_of(expected, networks)
    assert divisions.epoch == other_divisions.epoch >= WARM_UP - 1
    assert divisions.mixtures == other_divisions.mixtures and divisions.accuracy == other_divisions.accuracy
    pairs = [(divisions.losses, other_divisions.losses)]
    for one, other in zip(divisions.splits, other_divisions.splits, strict=True):
        pairs += [(one.clean, other.clean), (one.clean_probability, other.clean_probability)]
    for one, other in zip(done, other_done, strict=True):
        assert (one.step, one.epoch_step, one.gate_steps) == (other.step, 0, other.gate_steps)
        pairs += [(one.example_weight, other.example_weight), (one.gate_sums, other.gate_sums)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    found, expected = (json.loads((folder / "results.json").read_text()) for folder in (found, expected))
    for one, other in zip(_each(found), _each(expected), strict=True):
        assert one.keys() == other.keys()
        assert [name for name in one if one[name] != other[name] and not name.startswith("train_seconds")] == []


def _each(results):
    """The results of the run without its networks', and those of each network."""
    networks = results.pop("networks", [])
    return [results, *networks]
