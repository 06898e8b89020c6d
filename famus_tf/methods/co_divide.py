"""Algorithm 2 of "Faster Meta Update Strategy for Noise-Robust Deep Learning" (Xu et al., CVPR 2021): no clean labels.

  for each epoch:
    in the warm-up: train each network for an epoch, every example weighing the same
    after it:
      p_k = clean probability of each label, by a mixture of two Gaussians over network k's losses     (k = 1, 2)
      split k: pseudo-clean are the labels with p_k above a threshold, the rest is pseudo-noisy
      train network 1 for an epoch on network 2's split, then network 2 on network 1's:
        the pseudo-clean set is the meta set of Algorithm 1, and
        the training batches are pseudo-clean images as labelled and pseudo-noisy ones as unlabelled (MixMatch)

What is exchanged keeps a network from confirming its own mistakes. After Li et al., "DivideMix" (ICLR 2020), whose loop
this is but for the meta step; with `CrossEntropy()` for a meta-learner it is DivideMix. The simple form trains on all
images with their given labels, and takes the pseudo-clean set for the meta set alone ("MW-Net + pseudo-clean" in the
paper's supplement); with one network that is its own split.

A method is opaque here: `networks`, `step`, `is_meta_step`, `optimizer`. Splits are index sets: no image is copied.
Differences from the paper: docs/differences.md.
"""

import dataclasses
import functools
import io
import json
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from famus_tf.methods import clean_split, mixmatch
from famus_tf.training import plan as plans


class Sizes(NamedTuple):
    """What an epoch of Algorithm 2 is cut into.

    Attributes:
      warmup_epochs: epochs before the first split.
      batch_size: n: labelled images, and as many unlabelled ones, in a global batch; in the warm-up 2 n.
      meta_batch_size: m.
    """

    warmup_epochs: int
    batch_size: int
    meta_batch_size: int


class Scan(NamedTuple):
    """What a network says of the given labels before an epoch.

    Attributes:
      losses, margins: float32 [N], NaN where not scanned; see `losses.given_label`.
      accuracy: on the given labels of what was scanned, a fraction.
    """

    losses: np.ndarray
    margins: np.ndarray
    accuracy: float


class CoDivideState(tf.train.experimental.PythonState):
    """The state of Algorithm 2: each network's split with the losses behind it, and the history of the run.

    It is part of every checkpoint.

    Args:
      num_networks: 1 or 2.
      num_examples: N.

    Attributes:
      epoch: the epoch of the splits, counted from 0; -1 before the first.
      splits: list of one `clean_split.Split` for each network, by its own losses.
      mixtures: list of their `clean_split.Mixture`, None where the fit was degenerate.
      losses: float32 [networks, epochs, N]: min-max scaled losses of the last epochs, the newest last, NaN where not
        scanned.
      accuracy: list of each network's accuracy on the given labels of the scanned examples, a fraction.
      history: list of one dict for each epoch that the networks have done together.
    """

    def __init__(self, num_networks, num_examples):
        self.epoch = -1
        self.history = []
        self.splits = [None] * num_networks
        self.mixtures = [None] * num_networks
        self.losses = np.zeros([num_networks, 0, num_examples], np.float32)
        self.accuracy = [0.0] * num_networks

    def serialize(self):
        """Bytes of everything above; called by TensorFlow's checkpoint."""
        buffer = io.BytesIO()
        known = self.epoch >= 0
        plain = {"epoch": self.epoch, "history": self.history, "accuracy": self.accuracy}
        plain["fallbacks"] = [split.fallback for split in self.splits] if known else []
        plain["mixtures"] = [mixture and dataclasses.asdict(mixture) for mixture in self.mixtures]
        arrays = {"losses": self.losses}
        if known:
            arrays["clean"] = np.stack([split.clean for split in self.splits])
            arrays["probability"] = np.stack([split.clean_probability for split in self.splits])
        np.savez_compressed(buffer, **arrays, plain=json.dumps(plain))
        return buffer.getvalue()

    def deserialize(self, string_value):
        """The inverse of `serialize`."""
        with np.load(io.BytesIO(string_value)) as arrays:
            plain = json.loads(str(arrays["plain"]))
            self.epoch = plain["epoch"]
            self.history = plain["history"]
            self.accuracy = plain["accuracy"]
            self.losses = arrays["losses"]
            self.mixtures = [mixture and _mixture_of(mixture) for mixture in plain["mixtures"]]
            if self.epoch >= 0:
                parts = zip(arrays["probability"], arrays["clean"], plain["fallbacks"], strict=True)
                self.splits = [clean_split.Split(*part) for part in parts]


class CoDivide:
    """The plan of Algorithm 2's epochs, as `training.loop.TrainingLoop` takes it: what both forms have in common.

    Args:
      runners: list of one or two `training.runner.Runner`.
      feeds: list of one `feed.Feed` for each, with seeds of their own.
      scan: function of a runner's number and the positions of examples (None: all) -> `Scan`.
      state: `CoDivideState`, perhaps restored.
      flags: those of Algorithm 2, `config.co_divide`.
      sizes: `Sizes`.
      seed: of the mixture's start and of ties.
      epochs: length of the run.
      is_clean: bool [N], which labels are right; None where nobody knows.

    Raises:
      InputError: an epoch has fewer examples than any split could do with.
    """

    def __init__(self, runners, feeds, scan, state, flags, sizes, *, seed, epochs, is_clean=None):
        self._runners = runners
        self._feeds = feeds
        self._scan = scan
        self._state = state
        self._flags = flags
        self._sizes = sizes
        self._seed = seed
        self._is_clean = is_clean
        self.epochs = epochs
        count = len(self._examples(0))
        clean_split.lower_half(count, *self._least_split(), f"{count:,} training examples in an epoch")

    def begin_epoch(self, epoch):
        """Co-divide: scans all losses and splits the training set, by each network; kept when a run is resumed."""
        state = self._state
        flags = self._flags
        if epoch < self._sizes.warmup_epochs or state.epoch == epoch:
            return
        sample = self._feeds[0].sample(epoch)
        scans = [self._scan(number, sample) for number in range(len(self._runners))]
        scaled = _scaled(np.stack([scan.losses for scan in scans]))[:, np.newaxis]
        kept = np.concatenate([state.losses, scaled], axis=1)[:, -flags.loss_epochs :]
        mixtures = []
        splits = []
        seed = self._seed + epoch
        for losses in kept.mean(axis=1):
            probability, fitted = clean_split.clean_probability(losses, self._seed)
            mixtures.append(fitted)
            splits.append(clean_split.split(losses, probability, flags.clean_threshold, *self._least_split(), seed))
        # All at once: a run that ends before keeps what it had.
        state.losses = kept
        state.mixtures = mixtures
        state.splits = splits
        state.accuracy = [scan.accuracy for scan in scans]
        state.epoch = epoch
        self._note(scans)

    def _note(self, scans):
        """Takes what the networks have said of the given labels, a list of `Scan`."""

    def phases(self, epoch):
        """Each network's phase of that epoch."""
        return [self._phase(number, epoch) for number in range(len(self._runners))]

    def describe_epoch(self):
        """`split`: size and quality of each network's split (`clean_split.quality`), and its accuracy on the labels."""
        state = self._state
        if state.epoch < 0:
            return {}
        qualities = [clean_split.quality(split, self._is_clean) for split in state.splits]
        known = zip(qualities, state.accuracy, strict=True)
        return {"split": [quality | {"given_label_accuracy": accuracy} for quality, accuracy in known]}

    def _phase(self, number, epoch):
        """A network's phase of an epoch, `plan.Phase`."""
        raise NotImplementedError

    def _least_split(self):
        """Fewest examples of which batches can be made: of the pseudo-clean set, and of the others."""
        raise NotImplementedError

    def _examples(self, epoch):
        """Positions of what an epoch goes through, the same for both networks."""
        sample = self._feeds[0].sample(epoch)
        return np.arange(self._feeds[0].num_examples) if sample is None else sample

    def _other_split(self, number):
        return self._state.splits[len(self._runners) - 1 - number]

    def _meta_batches(self, number, epoch, first, steps, **options):
        """For each step of a phase a batch of the pseudo-clean set, or None where it is no meta step."""
        progress = self._runners[number].progress
        is_meta_step = self._runners[number].method.is_meta_step
        start = progress.step - progress.epoch_step
        before = sum(is_meta_step(start + step) for step in range(first))
        meta = None
        for step in range(first, steps):
            if not is_meta_step(start + step):
                yield None
                continue
            if meta is None:
                trusted = self._other_split(number).clean_index
                size = self._sizes.meta_batch_size
                meta = self._feeds[number].drawn(f"pseudo-clean {epoch}", trusted, size, before, steps, **options)
            yield next(meta)


class GivenLabelsPlan(CoDivide):
    """The simple form: Algorithm 1 on all images and their given labels, the other split's pseudo-clean set trusted."""

    def __init__(self, runners, *args, **kwargs):
        super().__init__(runners, *args, **kwargs)
        self._training = [None] * len(runners)

    def _least_split(self):
        return self._sizes.meta_batch_size, 0

    def _phase(self, number, epoch):
        feed = self._feeds[number]
        per_epoch = feed.steps_per_epoch

        def batches(first):
            if self._training[number] is None:  # one iterator for all epochs
                start = epoch * per_epoch + first
                self._training[number] = feed.training(start, self.epochs * per_epoch)
            meta = self._meta_batches(number, epoch, first, per_epoch)
            return ((next(self._training[number]), trusted) for trusted in meta)

        return plans.Phase(number, per_epoch, batches)


class UnlabelledPlan(CoDivide):
    """Algorithm 2 in full: pseudo-noisy images are unlabelled ones.

    Args:
      learning_rate: function of an epoch -> alpha in it; epochs differ in their number of steps.
    """

    def __init__(self, *args, learning_rate, **kwargs):
        super().__init__(*args, **kwargs)
        self._learning_rate = learning_rate

    def phases(self, epoch):
        """Each network's phase of that epoch."""
        for runner in self._runners:
            runner.method.optimizer.learning_rate = self._learning_rate(epoch)
        return super().phases(epoch)

    def _note(self, scans):
        """The given labels are in no step behind the warm-up, so that these are the visits that examples have."""
        for runner, scan in zip(self._runners, scans, strict=True):
            probability = np.exp(-scan.losses.astype(np.float64))
            runner.progress.examples.visit(np.arange(len(probability)), probability, scan.margins)

    def _least_split(self):
        return max(self._sizes.meta_batch_size, self._sizes.batch_size), self._sizes.batch_size

    def _phase(self, number, epoch):
        return (self._warm_up if epoch < self._sizes.warmup_epochs else self._mixed)(number, epoch)

    def _warm_up(self, number, epoch):
        """One epoch of plain training on all images."""
        feed = self._feeds[number]
        size = 2 * self._sizes.batch_size
        subset = self._examples(epoch)
        steps = max(len(subset) // size, 1)

        def batches(first):
            stream = feed.drawn(f"warm-up {epoch}", subset, min(size, len(subset)), first, steps)
            return ((batch, None) for batch in stream)

        return plans.Phase(number, steps, batches)

    def _mixed(self, number, epoch):
        """One epoch of semi-supervised training on the other network's split, once through its pseudo-clean set."""
        feed = self._feeds[number]
        n = self._sizes.batch_size
        split = self._other_split(number)
        steps = len(split.clean_index) // n
        labelled_ones = {"views": 2, "values": split.clean_probability}

        def batches(first):
            meta = self._meta_batches(number, epoch, first, steps, **labelled_ones)
            labelled = feed.drawn(f"labelled {epoch}", split.clean_index, n, first, steps, **labelled_ones)
            unlabelled = feed.drawn(f"unlabelled {epoch}", split.noisy_index, n, first, steps, views=2)
            for step, (known, (images, _, index)) in enumerate(zip(labelled, unlabelled, strict=True), start=first):
                passed = epoch - self._sizes.warmup_epochs + step / steps
                ramp = tf.constant(mixmatch.ramp(passed, self._flags.lambda_u_ramp_epochs), tf.float32)
                batch = mixmatch.TrainingBatch(mixmatch.Labelled(*known), mixmatch.Unlabelled(images, index), ramp)
                trusted = next(meta)
                yield batch, None if trusted is None else mixmatch.Labelled(*trusted)

        return plans.Phase(number, steps, batches)


def make_prepare(methods, number, flags, seed):
    """What comes before a training step of one of two networks: label refinement and guessing, and MixUp.

    Args:
      methods: the two methods, of one network each.
      number: which one is trained.
      flags: those of Algorithm 2, `config.co_divide`.
      seed: of MixUp.

    Returns:
      Function of a training and a meta batch as `UnlabelledPlan` makes them -> those that the method's step takes;
      batches of the warm-up stay as they are. To be called in a replica's context (`training.step.compile_step`).
    """
    (trained,) = methods[number].networks
    (peer,) = methods[1 - number].networks

    # As in the release. The pass moves the BatchNorm statistics, which otherwise would be those of mixed images alone,
    # while the network is evaluated on images as they are.
    predict = functools.partial(trained, training=True)
    predict_of_peer = functools.partial(peer, training=False)
    options = {"temperature": flags.temperature, "alpha": flags.mixup_alpha}

    def prepare(training_batch, meta_batch):
        if not isinstance(training_batch, mixmatch.TrainingBatch):
            return training_batch, meta_batch
        step = tf.cast(methods[number].optimizer.iterations, tf.int64)
        seeds = tf.random.split(tf.stack([seed + number, step]), num=2, alg="philox")
        mixed = mixmatch.training_batch(
            training_batch, predict, predict_of_peer, lambda_u=flags.lambda_u, seed=seeds[0], **options
        )
        if meta_batch is not None:
            meta_batch = mixmatch.meta_batch(meta_batch, predict, seed=seeds[1], **options)
        return mixed, meta_batch

    return prepare


def _scaled(losses):
    """Min-max scaled, float32 [networks, N]; equal ones become 0, infinite ones count as the largest finite one."""
    finite = {"axis": 1, "keepdims": True, "where": np.isfinite(losses)}
    low, high = losses.min(initial=np.inf, **finite), losses.max(initial=-np.inf, **finite)
    spread = np.where(high > low, high - low, 1.0)
    return ((np.clip(losses, low, high) - low) / spread).astype(np.float32)


def _mixture_of(fields):
    """`clean_split.Mixture` from a dict that JSON has held, with lists in the place of tuples."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return clean_split.Mixture(**values)
