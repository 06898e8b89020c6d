"""Algorithm 2 as a library: two methods, NumPy arrays, no command line and no run directory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors, losses
from famus_tf.config.co_divide import CoDivideConfig
from famus_tf.data import dataset as datasets
from famus_tf.data.batches import bad_images, feed, sampling
from famus_tf.data.source import Examples
from famus_tf.experiment import supervision
from famus_tf.losses import dividemix
from famus_tf.methods import averaged, clean_split, fit_data
from famus_tf.methods import co_divide as algorithm2
from famus_tf.methods.famus import FaMUS
from famus_tf.training import progress, runner

_LOG = logging.getLogger(__name__)


class _GivenLabels:
    """The simple form: all images are trained on with their given labels.

    Args:
      flags: `config.co_divide.CoDivideConfig`.
      seed: of the run.
    """

    plan: type[algorithm2.CoDivide] = algorithm2.GivenLabelsPlan

    def __init__(self, flags, seed):
        self.flags = flags
        self.seed = seed

    def check(self, method):
        """Refuses, as an InputError, a method that does not go with the form."""

    def set_losses(self, methods):
        """The methods keep theirs."""

    def plan_options(self, rate):
        """What the plan takes besides; `rate` is a function of the epoch."""
        del rate
        return {}

    def warmup_steps(self, one, batch_size):
        """Steps of an epoch of the warm-up, on the batches of a `feed.Feed`."""
        del batch_size
        return one.steps_per_epoch

    def make_prepare(self, methods, number):
        """What comes before a step of that method; None for nothing."""


class _UnlabelledImages(_GivenLabels):
    """The whole of it: what is not pseudo-clean is trained on without its label."""

    plan = algorithm2.UnlabelledPlan

    def check(self, method):
        """DivideMix's loss takes the place of another, and mixed images have no right class."""
        learner = method.meta_learner
        if learner.training_loss is not None:
            raise errors.InputError(
                f"CoDivide with {type(learner).__name__}(loss=...): expected none, as DivideMix's loss takes its "
                "place; or semi_supervised=False"
            )
        if method.compiled and method._compile_metrics is not None:
            raise errors.InputError(
                "CoDivide of methods compiled with metrics: expected none, as mixed images have no right class; "
                "validation_data has the accuracy"
            )

    def set_losses(self, methods):
        """DivideMix's."""
        for method in methods:
            loss = losses.SemiSupervised(self.flags.prior_penalty, self.flags.confidence_penalty)
            method.meta_learner.training_loss = loss
            method.validation_loss = dividemix.validation_loss(self.flags.prior_penalty)

    def plan_options(self, rate):
        """alpha by the epoch."""
        return {"learning_rate": rate}

    def warmup_steps(self, one, batch_size):
        """Batches of the warm-up are twice as large."""
        return max(one.num_examples // (2 * batch_size), 1)

    def make_prepare(self, methods, number):
        """Label refinement and guessing, and MixUp."""
        return algorithm2.make_prepare(methods, number, self.flags, self.seed)


class CoDivide:
    """Algorithm 2: training on labels of which nobody knows which are right.

    After a warm-up each of two networks is trained with the labels that are probably right by the other one's losses:
    they are the meta set and, unless `semi_supervised` is False, the labelled images of MixMatch, where all others are
    used without their labels. See docs/algorithm2.md.

    Args:
      methods: two compiled `FaMUS` with networks of other initial weights, images uint8 [n, H, W, C] -> logits [n, c].
        With `semi_supervised` their losses become DivideMix's, `famus_tf.losses.SemiSupervised`.
      warmup_epochs: epochs of plain training before the first split.
      semi_supervised: False trains by Algorithm 1 on all images and their given labels.
      seed: of the batches, the mixtures and MixUp.
      **options: `clean_threshold`, `loss_epochs`, `temperature`, `mixup_alpha`, `lambda_u`, `lambda_u_ramp_epochs`,
        `prior_penalty`, `confidence_penalty`: as the flags of these names, with their defaults.

    Attributes:
      network: both networks as one, images -> mean logits; save, export or evaluate it.
      splits: list of each network's `methods.clean_split.Split`, with `clean_probability` float32 [N] and `clean`
        bool [N]; [None, None] before the first.
      history: list of one dict for each epoch.

    Raises:
      InputError: other methods than these.
    """

    def __init__(
        self,
        methods: Sequence[FaMUS],
        warmup_epochs: int = 1,
        semi_supervised: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.methods = list(methods)
        self.warmup_epochs = warmup_epochs
        self._seed = seed
        self._flags = CoDivideConfig("co_divide", "pseudo_clean", semi_supervised, **options)
        self._form = (_UnlabelledImages if semi_supervised else _GivenLabels)(self._flags, seed)
        self._check_methods()
        self.network = averaged.as_functional([method.network for method in self.methods])
        self._state: algorithm2.CoDivideState | None = None

    @property
    def splits(self) -> list[clean_split.Split | None]:
        """Each network's split of the last epoch, by its own losses."""
        return [None, None] if self._state is None else self._state.splits

    @property
    def history(self) -> list[dict[str, Any]]:
        """One dict for each epoch done."""
        return [] if self._state is None else self._state.history

    def fit(
        self,
        images: Any,
        labels: Any,
        epochs: int,
        *,
        batch_size: int = 32,
        meta_batch_size: int | None = None,
        validation_data: tuple[Any, Any] | None = None,
        crop_padding: int = 0,
        flip: bool = False,
        learning_rate: Callable[[int], float] | None = None,
        is_clean: Any = None,
    ) -> list[dict[str, Any]]:
        """Trains both networks.

        Args:
          images, labels: uint8 [N, H, W, C] and class ids [N].
          epochs: of each network, the warm-up among them.
          batch_size: n; a step takes n images as labelled and n as unlabelled, in the warm-up 2 n.
          meta_batch_size: m; n unless given.
          validation_data: `(images, labels)` whose accuracy the history has.
          crop_padding, flip: augmentation, a random crop after padding by so many pixels and a mirror image.
          learning_rate: function of an epoch, counted from 0, -> alpha in it; None: as compiled.
          is_clean: bool [N], which labels are right, where that is known: the history has the quality of the splits.

        Returns:
          `history`.

        Raises:
          InputError: images, labels or sizes that cannot be used, or methods not compiled or trained before.
        """
        self._check_untrained()
        classes = self.methods[0].num_classes
        known = _uint8(images, labels, classes, "training data")
        validation = None if validation_data is None else _uint8(*validation_data, classes, "validation_data")
        truth = None if is_clean is None else np.asarray(is_clean, bool)
        sizes = algorithm2.Sizes(self.warmup_epochs, batch_size, meta_batch_size or batch_size)
        dataset = _dataset(known, validation, classes, crop_padding, flip)
        self._state = algorithm2.CoDivideState(2, len(known.labels))
        rate = learning_rate or _constant(self.methods[0].optimizer)
        self._form.set_losses(self.methods)
        plan, runners = self._plan(dataset, sizes, epochs, truth, rate)
        for epoch in range(epochs):
            for method in self.methods:
                method.optimizer.learning_rate = rate(epoch)
            plan.begin_epoch(epoch)
            for phase in plan.phases(epoch):
                _run_phase(runners[phase.number], phase)
            self.history.append(self._describe(epoch, runners, plan, validation))
            _LOG.info("Algorithm 2, epoch %d of %d: %s", epoch + 1, epochs, self.history[-1])
        return self.history

    def _check_methods(self):
        if len(self.methods) != 2 or not all(isinstance(method, FaMUS) for method in self.methods):
            found = ", ".join(type(method).__name__ for method in self.methods)
            raise errors.InputError(f"CoDivide([{found}]): expected two compiled famus_tf.FaMUS")
        first, second = self.methods
        if first is second or first.network is second.network:
            raise errors.InputError("CoDivide with the same network twice: expected two of other initial weights")
        for method in self.methods:
            self._form.check(method)

    def _check_untrained(self):
        for method in self.methods:
            if not method.compiled or int(method.optimizer.iterations.numpy()):
                raise errors.InputError(
                    f"CoDivide with network {method.network.name!r}: expected a FaMUS that is compiled and not trained"
                )
            # Compiled since, perhaps with metrics.
            self._form.check(method)
            if isinstance(method.optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
                raise errors.InputError(
                    "CoDivide with a schedule as learning rate: expected a number, and learning_rate=function of the "
                    "epoch in fit, as epochs differ in their steps"
                )

    def _plan(self, dataset, sizes, epochs, is_clean, rate):
        strategy = tf.distribute.get_strategy()
        bad = bad_images.BadImages(dataset, skip=False)
        options = {"batch_size": sizes.batch_size, "meta_batch_size": sizes.meta_batch_size, "eval_batch_size": 256}
        seeds = [supervision.seed_of(self._seed, number) for number in range(2)]
        drawn = sampling.NATURAL
        feeds = [feed.Feed(dataset, strategy, bad, seed=seed, drawn=drawn, **options) for seed in seeds]
        scan = supervision.make_scan(strategy, self.methods, feeds[0], dataset.train_labels)
        runners = []
        for number, method in enumerate(self.methods):
            method.meta_from = sizes.warmup_epochs * self._form.warmup_steps(feeds[0], sizes.batch_size)
            done = progress.Progress(len(dataset.train_labels), len(method.gated_layers))
            prepare = self._form.make_prepare(self.methods, number)
            runners.append(runner.Runner(strategy, method, done, prepare=prepare))
        arguments = runners, feeds, scan, self._state, self._flags, sizes
        named = {"seed": self._seed, "epochs": epochs, "is_clean": is_clean}
        return self._form.plan(*arguments, **named, **self._form.plan_options(rate)), runners

    def _describe(self, epoch, runners, plan, validation):
        for one in runners:
            one.progress.end_epoch(one.logs())
        entry = {"epoch": epoch + 1, "loss": [one.progress.history[-1]["loss"] for one in runners]}
        if validation is not None:
            right = self.network.predict(validation.images, verbose=0).argmax(axis=1) == validation.labels
            entry["val_accuracy"] = float(right.mean())
        return entry | plan.describe_epoch()


def _run_phase(one, phase):
    one.reset_metrics()
    batches = phase.batches(0)
    with fit_data.explained():
        for _ in range(phase.steps):
            one.run_step(*next(batches))
    one.settle()


def _constant(optimizer: keras.optimizers.Optimizer) -> Callable[[int], float]:
    rate = float(optimizer.learning_rate)
    return lambda epoch: rate


def _uint8(images, labels, classes, name):
    known = fit_data.arrays(images, labels, classes, name)
    dtype, shape = np.asarray(known.images[:1]).dtype, np.shape(known.images)
    if dtype != np.uint8 or len(shape) != 4 or np.ndim(known.labels) != 1:
        raise errors.InputError(
            f"{name}: images of type {dtype} and shape {shape}, labels of shape {np.shape(known.labels)}; expected "
            "uint8 [N, H, W, C] and class ids [N]. What is done to images belongs to the network"
        )
    return Examples(np.asarray(known.images), known.labels.astype(np.int32))


def _dataset(known, validation, classes, crop_padding, flip):
    nothing = Examples(known.images[:0], known.labels[:0])
    channels = known.images.shape[-1]
    return datasets.Dataset(
        name="arrays",
        train_images=known.images,
        train_labels=known.labels,
        train_true_labels=None,
        train_index=np.arange(len(known.labels)),
        meta_images=nothing.images,
        meta_labels=nothing.labels,
        meta_index=np.zeros(0, np.int64),
        test_images=(validation or nothing).images,
        test_labels=(validation or nothing).labels,
        class_names=tuple(map(str, range(classes))),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        crop_padding=crop_padding,
        flip=flip,
    )
