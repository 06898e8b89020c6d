"""Network, epochs and learning rate by the images, their number and the device."""

import dataclasses

import numpy as np
import pytest

from famus_tf.config import config
from famus_tf.experiment import automatic

TWO_CORES, ONE_GPU = automatic.Device("CPU", 2), automatic.Device("GPU", 1)


@dataclasses.dataclass
class Images:
    """As much of a dataset as the choice looks at."""

    train_labels: np.ndarray
    image_shape: tuple


def flags(**values):
    return config.from_values({"data_dir": "a", "workdir": "nowhere", "batch_size": 32} | values)


@pytest.mark.parametrize(
    ("count", "size", "device", "network", "epochs"),
    [
        (3_000, 32, TWO_CORES, "resnet32", 60),  # the first hour of issue 16: ResNet-50, 7 hours
        (3_000, 32, ONE_GPU, "preact_resnet18", 60),
        (1_797, 8, TWO_CORES, "small_preact", 100),
        (50_000, 32, TWO_CORES, "small_preact", 60),
        (50_000, 32, ONE_GPU, "preact_resnet18", 60),
        (3_000, 96, TWO_CORES, "small_preact", 60),
        (4_000, 224, TWO_CORES, "resnet50", 10),
        (4_000, 224, ONE_GPU, "resnet50", 60),
        (1_000_000, 224, ONE_GPU, "resnet50", 10),
        (100, 64, TWO_CORES, "preact_resnet18", 184),
        (3_000_000, 32, TWO_CORES, "small_preact", 10),
    ],
)
def test_the_choice(count, size, device, network, epochs):
    chosen, sentence = automatic.with_choices(flags(), Images(np.zeros(count), (size, size, 3)), device)
    assert (chosen.run.network, chosen.optimization.epochs) == (network, epochs)
    assert (chosen.optimization.base_learning_rate, chosen.optimization.lr_schedule) == (0.025, "cosine")
    values = f"--network={network} --epochs={epochs} --base_learning_rate=0.025 --lr_schedule=cosine"
    assert sentence.startswith(f"for {count:,} images of {size}x{size} and {device}: {values}")
    assert ("--image_size=96 is several times as fast" in sentence) == (size == 224 and device is TWO_CORES)
    known = {(3_000, 32): "18 min 7 s", (4_000, 224): "4 h 0 min", (1_797, 8): "1 min 0 s"}.get((count, size))
    assert ("by a rule of thumb this takes" in sentence) == (device is TWO_CORES)
    assert device is ONE_GPU or not known or f"by a rule of thumb this takes {known}" in sentence
    assert automatic.with_choices(chosen, Images(np.zeros(9), (8, 8, 3)), device) == (chosen, "")


@pytest.mark.parametrize(
    ("given", "network", "optimization"),
    [
        ({"network": "wrn28_10"}, "wrn28_10", {"epochs": 10, "base_learning_rate": 0.025}),
        ({"network": "a.keras"}, "a.keras", {"base_learning_rate": 0.0025}),
        ({"network": "resnet50", "pretrained": "imagenet"}, "resnet50", {"base_learning_rate": 0.0025}),
        ({"epochs": 3, "lr_boundaries": (1, 2)}, "resnet32", {"epochs": 3, "lr_schedule": "step"}),
        ({"train_steps": 99, "base_learning_rate": 1.0}, "resnet32", {"epochs": 0, "base_learning_rate": 1.0}),
        ({"meta_from_epoch": 70, "batch_size": 128}, "resnet32", {"epochs": 71, "base_learning_rate": 0.1}),
    ],
)
def test_what_is_given_stays(given, network, optimization):
    chosen, _ = automatic.with_choices(flags(**given), Images(np.zeros(3_000), (32, 32, 3)), TWO_CORES)
    assert chosen.run.network == network
    assert {name: getattr(chosen.optimization, name) for name in optimization} == optimization


def test_a_run_goes_on_with_what_it_was_begun_with(tmp_path):
    begun, _ = automatic.with_choices(flags(workdir=str(tmp_path)), Images(np.zeros(100), (32, 32, 3)), ONE_GPU)
    (tmp_path / "flags.cfg").write_text("\n".join(begun.flag_lines()))
    more_images = Images(np.zeros(100_000), (224, 224, 3))
    assert automatic.with_choices(flags(workdir=str(tmp_path)), more_images, TWO_CORES) == (begun, "")
    assert automatic.with_choices(flags(workdir=str(tmp_path))) == (begun, "")
    assert automatic.with_choices(flags()) == (flags(), "")
