"""What `--mode` may be, and the function of each."""

import tensorflow as tf

from famus_tf.devices import strategy as strategies
from famus_tf.experiment import notes
from famus_tf.experiment.clean import clean
from famus_tf.experiment.evaluate import evaluate
from famus_tf.experiment.export import export
from famus_tf.experiment.inspect import inspect
from famus_tf.experiment.predict import predict
from famus_tf.experiment.prepare import prepare
from famus_tf.experiment.report import report
from famus_tf.experiment.train import train

MODES = {
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "inspect": inspect,
    "prepare": prepare,
    "report": report,
    "clean": clean,
    "predict": predict,
}


def run(config):
    """Does what `config.run.mode` says.

    Args:
      config: `config.Config`.

    Raises:
      InputError: the data, the run directory or the devices are not what the configuration needs.
    """
    notes.show()
    with strategies.lost_workers_explained(config.run.strategy):
        MODES[config.run.mode](config)


def find_gpus():
    """Names of this machine's GPUs; the first call makes TensorFlow look for its drivers."""
    return [device.name for device in tf.config.list_physical_devices("GPU")]
