"""Network, epochs and learning rate of a run on a user's own images, where the flags leave them open."""

import dataclasses
import pathlib

import tensorflow as tf

from famus_tf.config import automatic, checks, config
from famus_tf.config import text as flag_text
from famus_tf.config.method import METHODS
from famus_tf.data.images import parallel
from famus_tf.devices import cluster as clusters
from famus_tf.experiment import progress_lines
from famus_tf.runs import directory as run_directory

# Multiplications of one image of 32x32 pixels, in millions, the network that is best given its time first. They grow
# with the number of pixels.
_OF_SMALL_IMAGES = {"preact_resnet18": 556, "resnet32": 69, "small_preact": 3}
_OF_PHOTOGRAPHS = {"resnet50": 84}
_OF_OTHERS = {"wrn40_2": 330, "wrn28_10": 5_250, "inception_resnet_v2": 150}
_OF_UNKNOWN = 550  # a network from a file
_SMALL = 96  # the largest side of a small image
_TINY = 16  # small_preact halves images above it, the others are made for more
# Multiplications per second that training comes to, in millions. A core: PreAct ResNet-18 in benchmarks/results, on 2
# cores. A GPU: not measured.
_OF_CORE, _OF_GPU = 40_000, 3_000_000
# Passes over the network in a step without and with a meta step, as multiples of the forward pass.
_PLAIN_PASSES, _META_PASSES = 3, 7
# A run on CPUs is to be over in about an hour, one on a GPU in about five; fewer epochs than `_LEAST` teach too little.
_SECONDS = {"CPU": 3_600, "GPU": 18_000}
_LEAST = 10
_WORTH = 30  # epochs that a network must get through in the time to be taken


@dataclasses.dataclass(frozen=True)
class Device:
    """What a run is trained on.

    Attributes:
      kind: "CPU" or "GPU".
      count: cores, or GPUs.
    """

    kind: str
    count: int

    @property
    def speed(self):
        """Millions of multiplications per second."""
        return self.count * (_OF_GPU if self.kind == "GPU" else _OF_CORE)

    def __str__(self):
        name = "CPU core" if self.kind == "CPU" else "GPU"
        return f"{self.count} {name}{'s' if self.count > 1 else ''}"


def find_device(strategy):
    """The `Device` of a strategy; of several workers the same on all of them."""
    gpus = len(tf.config.list_logical_devices("GPU"))
    if clusters.num_workers(strategy) > 1:
        return Device("GPU" if gpus else "CPU", strategy.num_replicas_in_sync)
    return Device("GPU", strategy.num_replicas_in_sync) if gpus else Device("CPU", parallel.cores())


def with_choices(flags, dataset=None, device=None):
    """`flags` with what is open filled in, and a sentence about it.

    What a run was begun with stays. Else the images decide; without them it stays open.

    Args:
      flags: `config.Config`.
      dataset: `data.dataset.Dataset`, or None.
      device: `Device`, with a dataset.

    Returns:
      `config.Config`, and the sentence, empty where nothing was chosen now.
    """
    if not automatic.waits_for_data(flags):
        return flags, ""
    saved = run_directory.saved_flags(pathlib.Path(flags.run.workdir, "flags.cfg"))
    if saved:
        return flags.with_values(_as_saved(flags, saved)), ""
    if dataset is None:
        return flags, ""
    count, size = len(dataset.train_labels), max(dataset.image_shape[:2])
    values = choose(flags, count, size, device)
    chosen = flags.with_values(values)
    sides = "x".join(map(str, dataset.image_shape[:2]))
    given = " ".join(f"--{name}={flag_text.text_of(value)}" for name, value in values.items())
    sentence = f"for {count:,} images of {sides} and {device}: {given}"
    if device.kind == "CPU" and chosen.optimization.epochs:
        seconds = _work(chosen, count, size) * chosen.optimization.epochs / device.speed
        sentence += f"; by a rule of thumb this takes {progress_lines.duration(max(seconds, 60))}"
    if device.kind == "CPU" and size > _SMALL:
        sentence += f"; --image_size={_SMALL} is several times as fast"
    return chosen, sentence


def _passes(flags):
    return _META_PASSES if METHODS[flags.method.method].needs_meta_set else _PLAIN_PASSES


def _cost(name):
    return (_OF_PHOTOGRAPHS | _OF_SMALL_IMAGES | _OF_OTHERS).get(name, _OF_UNKNOWN)


def _work(flags, count, size):
    """Millions of multiplications in an epoch, of whatever network the flags name."""
    return _passes(flags) * count * (size / 32) ** 2 * _cost(flags.run.network)


def choose(flags, count, size, device):
    """{flag: value} of what is open.

    Args:
      flags: `config.Config`.
      count: number of training images.
      size: the longer side of an image in pixels.
      device: `Device`.
    """
    asked = automatic.open_flags(flags)
    # Of 32x32 pixels, for all epochs.
    affordable = _SECONDS[device.kind] * device.speed / (_passes(flags) * count * (size / 32) ** 2)
    wanted = _epochs_by_number(count)
    values = {}
    networks = _OF_PHOTOGRAPHS if size > _SMALL else _OF_SMALL_IMAGES
    name = flags.run.network
    if "network" in asked:
        fitting = [one for one, cost in networks.items() if cost * min(_WORTH, wanted) <= affordable]
        name = "small_preact" if size <= _TINY else [*fitting, list(networks)[-1]][0]
        values["network"] = name
    if not automatic.length(flags):
        values["epochs"] = max(_LEAST, _least_epochs(flags), min(wanted, int(affordable / _cost(name))))
    if "base_learning_rate" in asked:
        # In proportion to the batch (Goyal et al., 2017); less where training starts at weights that are good already.
        begun = flags.run.pretrained != "none" or flags.run.init_from or name.endswith(".keras")
        values["base_learning_rate"] = round((0.01 if begun else 0.1) * flags.optimization.batch_size / 128, 5)
    if "lr_schedule" in asked:
        values["lr_schedule"] = "step" if flags.optimization.lr_boundaries else "cosine"
    return values


def _epochs_by_number(count):
    """60; more of a set of less than 3,000 images, fewer of one of more than 50,000."""
    few = min(200, 180_000 // count)
    many = min(60, 3_000_000 // count)
    return max(_LEAST, few, many)


def _least_epochs(flags):
    """More than those that other flags count from the start."""
    _, before_stages = checks.before_stages(flags.method.method, flags.baselines)
    others = flags.loss.drw_epoch, flags.method.meta_from_epoch, flags.optimization.warmup_epochs
    return 1 + max(*others, before_stages)


def _as_saved(flags, saved):
    """{flag: value} of what is open, as the run directory has it; older flag files may lack some."""
    names = automatic.open_flags(flags)
    if not automatic.length(flags):
        names += ["epochs", "train_steps"]
    fields = {field.name: field for _, field in config.flag_fields()}
    return {name: flag_text.from_text(fields[name], saved[name]) for name in names if name in saved}
