"""What is measured: network, images, batches and how often; one dataclass, one set of arguments for every command."""

import argparse
import dataclasses

from benchmarks import pools
from famus_tf.config.method import MethodConfig

POLICIES = {
    "float32": ("float32",),
    "mixed_bfloat16": ("mixed_bfloat16",),
    "both": ("float32", "mixed_bfloat16"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One measurement's settings.

    Attributes:
      network: name of a network of `famus_tf.networks`, or the path of a `.keras` file.
      image_size: height and width of the images.
      channels, classes: of the images and labels.
      pool: which images, one of `pools.KINDS`.
      batch_size: n, training images per step.
      meta_batch_size: m, meta images per step; 0 means n.
      seed: of weights and data.
      settle_steps: steps that the learned sampler trains before it is timed.
      settle_image_size, settle_batch_size: of these steps; smaller ones are quicker, and the sampler sees gradients of
        weights, whose shapes do not depend on them. 0: as in the timed steps.
      settled_folder: where the settled sampler's weights are kept and found again; empty: they are not kept.
      learning_rate: alpha of every mode and of plain training.
      lambda_cost: weight of the cost term while the sampler settles; the program's default.
    """

    network: str = "preact_resnet18"
    image_size: int = 32
    channels: int = 3
    classes: int = 10
    pool: str = "patterns"
    batch_size: int = 16
    meta_batch_size: int = 0
    seed: int = 0
    settle_steps: int = 1000
    settle_image_size: int = 0
    settle_batch_size: int = 0
    settled_folder: str = ""
    learning_rate: float = 0.02
    lambda_cost: float = MethodConfig.lambda_cost

    @property
    def image_shape(self):
        """(height, width, channels)."""
        return (self.image_size, self.image_size, self.channels)

    def meta_size(self, share=1.0):
        """m, or `share` of n where a mode asks for less than the whole; at least 1."""
        whole = self.meta_batch_size or self.batch_size
        return whole if share == 1.0 else max(1, round(share * self.batch_size))

    def title(self):
        """One line that says what was measured."""
        images = f"{self.image_size} x {self.image_size} x {self.channels}"
        images = images if self.pool == "patterns" else f"{self.pool} as {images}"
        return f"{self.network}, {images}, {self.classes} classes, batch {self.batch_size} + {self.meta_size()}"

    def while_settling(self):
        """The settings of the steps in which the sampler settles."""
        return dataclasses.replace(
            self,
            image_size=self.settle_image_size or self.image_size,
            batch_size=self.settle_batch_size or self.batch_size,
            meta_batch_size=self.settle_batch_size or self.meta_batch_size,
        )

    def arguments(self):
        """The command line arguments that give these settings."""
        return [f"--{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)]


_HELP = {
    "network": "name of a network, or the path of a .keras file (images -> logits)",
    "image_size": "height and width of the images",
    "channels": "channels of the images",
    "classes": "number of classes",
    "pool": "images: coarse patterns under noise, or scikit-learn's digits",
    "batch_size": "n, training images per step",
    "meta_batch_size": "m, meta images per step; 0: as many as training images",
    "seed": "of weights and data",
    "settle_steps": "steps that the learned sampler trains before it is timed",
    "settle_image_size": "height and width of the images in these steps; 0: as image_size",
    "settle_batch_size": "training and meta images in each of these steps; 0: as in the timed steps",
    "settled_folder": "where the settled sampler's weights are kept and found again",
    "learning_rate": "alpha, of plain training and of every mode",
    "lambda_cost": "weight of the cost term, which decides how deep the learned sampler settles",
}


def add_arguments(parser):
    """Adds one argument for every field of `Settings` to an `argparse.ArgumentParser`."""
    for field in dataclasses.fields(Settings):
        kind = field.type
        if kind is int:
            kind = non_negative if field.default == 0 or field.name == "settle_steps" else positive
        parser.add_argument(
            f"--{field.name}",
            type=kind,
            default=field.default,
            choices=pools.KINDS if field.name == "pool" else None,
            help=f"{_HELP[field.name]} (default {field.default or 'none' if kind is str else field.default})",
        )


def from_arguments(arguments):
    """`Settings` from parsed arguments."""
    return Settings(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Settings)})


def positive(text):
    """An int of 1 or more, for `argparse`."""
    return _at_least(1, text)


def non_negative(text):
    """An int of 0 or more, for `argparse`."""
    return _at_least(0, text)


def _at_least(least, text):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, {least} or more")
    return int(text)
