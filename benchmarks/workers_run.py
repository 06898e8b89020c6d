"""One process of `benchmarks.workers`: trains as the flags say and keeps all numbers at some steps.

    python -m benchmarks.workers_run OUT.npz --at=6,300 -- --flagfile=flags/digits.cfg --train_steps=300 --epochs=0

Every worker keeps its own, so that they can be compared. All but images and losses kept for show is computed
in float64, as the network must be. `--replicas=2` splits the CPU in two devices.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from famus_tf.config import command_line
from famus_tf.devices import sharing
from famus_tf.devices import strategy as strategies
from famus_tf.experiment import build_data, build_run, notes
from famus_tf.files import closed_pipe


class Snapshots(keras.callbacks.Callback):
    """Keeps the numbers of a run after some of its steps, and after the last.

    Args:
      parts: `build_run.Run`.
      at: set of step numbers.

    Attributes:
      kept: {"step/group/network/number": array}; the last step is called "end".
    """

    def __init__(self, parts, at):
        super().__init__()
        self._parts = parts
        self._at = at
        self.kept = {}
        # As before each evaluation and checkpoint; the statistics of later steps are the same with it and without.
        self._averagers = [
            sharing.make_averager(parts.strategy, [v.value for v in _statistics(method)]) for method in parts.methods
        ]

    def on_train_batch_end(self, batch, logs=None):
        """Keeps all, where the step is one of those that are wanted; `logs` are not used."""
        del batch, logs
        if self._parts.history.step in self._at:
            self._keep(self._parts.history.step)

    def on_train_end(self, logs=None):
        """Keeps all."""
        del logs
        self._keep("end")

    def _keep(self, step):
        for average in self._averagers:
            average()
        for network, method in enumerate(self._parts.methods):
            for group, variables in _groups(method).items():
                for number, variable in enumerate(variables):
                    self.kept[f"{step}/{group}/{network}/{number}"] = keras.ops.convert_to_numpy(variable)


def _statistics(method):
    return [v for v in method.network.non_trainable_variables if tf.as_dtype(v.dtype).is_floating]


def _groups(method):
    learner = method.meta_learner
    optimizer_variables = method.optimizer.variables
    for holder, name in ((learner, "optimizer"), (method, "sampler_optimizer")):
        optimizer_variables = [*optimizer_variables, *getattr(getattr(holder, name, None), "variables", [])]
    return {
        "weights": method.network.trainable_variables,
        "BatchNorm statistics": _statistics(method),
        "theta": learner.trainable_variables,
        "sampler": method.selector.trainable_variables,
        "optimizers": [v for v in optimizer_variables if tf.as_dtype(v.dtype).is_floating],
    }


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers_run", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--at", required=True)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("flags", nargs="+")
    arguments = parser.parse_args(argv)
    if arguments.replicas > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * arguments.replicas)
    notes.show()
    keras.config.set_floatx("float64")
    config = command_line.read_config(["workers_run.py", *arguments.flags])
    strategy = strategies.make_strategy(config.run.strategy, config.run.worker_timeout)
    parts = build_run.assemble(
        config, build_data.make_dataset(config.data, config.run.seed), strategy, pathlib.Path(config.run.workdir)
    )
    snapshots = Snapshots(parts, set(map(int, arguments.at.split(","))))
    build_run.training_loop(config.run, parts).run([snapshots])
    np.savez(
        arguments.out,
        **snapshots.kept,
        accuracy=[epoch["test_accuracy"] for epoch in parts.history.epochs],
        step=parts.history.step,
    )
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
