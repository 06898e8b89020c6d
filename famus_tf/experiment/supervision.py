"""Which labels a run trusts, and what follows from it: the loss, the plan of epochs, what is saved and shown besides.

One class for each answer; `of` chooses, and nothing else asks. A run trains as many methods alternately as there are
`seeds`.
"""

import functools
import pathlib

import keras
import numpy as np

from famus_tf import losses
from famus_tf.evaluation import per_example
from famus_tf.experiment import build_data, build_optimizers, looks
from famus_tf.losses import dividemix, softmax
from famus_tf.methods import averaged, co_divide
from famus_tf.reports import splits
from famus_tf.training import history, plan, stopping


def of(flags, dataset, **others):
    """The supervision that the flags ask for, one of the classes of this module; takes what `GivenLabels` takes."""
    if flags.meta_set == "clean":
        kind = GivenLabels
    elif flags.algorithm == "single":
        kind = OwnPseudoCleanSet
    else:
        kind = UnlabelledImages if flags.semi_supervised else PeersPseudoCleanSets
    return kind(flags, dataset, **others)


class GivenLabels:
    """Training on all labels as they are given; where a method has a meta set, its labels are trusted.

    Args:
      flags: of Algorithm 2, `config.co_divide.CoDivideConfig`.
      dataset: `data.dataset.Dataset`.
      loss: `config.loss.LossConfig`.
      optimization: `config.optimization.OptimizationConfig`.
      meta_from_epoch: epochs before the first with meta steps.
      seed: of the run.

    Attributes:
      seeds: one for each method of the run: of its weights, its meta-learner, its sampler and its batches.
      names: one pair for each method, its folder in TensorBoard and the end of its pictures' names; empty of a single
        one.
      kept: what is saved with the run besides, a trackable object of TensorFlow; None for nothing.
    """

    def __init__(self, flags, dataset, *, loss, optimization, meta_from_epoch, seed):
        self.flags = flags
        self.dataset = dataset
        self.loss = loss
        self.optimization = optimization
        self.meta_from_epoch = meta_from_epoch
        self.seed = seed
        self.seeds = [seed]
        self.names = [("", "")]
        self.kept = None

    def make_loss(self):
        """The training loss, by the sizes of the classes as their labels are given; None for the cross-entropy."""
        flags = self.loss
        counts = np.array(self.class_sizes)
        focal = losses.Focal if flags.focal_form == "softmax" else losses.SigmoidFocal
        makers = {
            "cross_entropy": lambda: losses.CrossEntropy() if flags.drw_epoch else None,
            "focal": lambda: focal(flags.focal_gamma),
            "class_balanced_focal": lambda: focal(flags.focal_gamma),
            "ldam": lambda: losses.LDAM(counts, flags.ldam_margin),
            "balanced_softmax": lambda: losses.BalancedSoftmax(counts, flags.adjustment),
            "label_smoothing": lambda: losses.LabelSmoothing(flags.smoothing),
            "bootstrapping": lambda: losses.Bootstrapping(flags.bootstrap_share, flags.bootstrap_hard),
            "gce": lambda: losses.GeneralizedCrossEntropy(flags.gce_q, flags.gce_truncation),
            "sce": lambda: losses.SymmetricCrossEntropy(flags.sce_alpha, flags.sce_beta),
            "active_passive": lambda: losses.ActivePassive(flags.active_weight, flags.passive_weight),
        }
        loss = makers[flags.loss]()
        if not flags.drw_epoch and flags.loss != "class_balanced_focal":
            return loss
        weights = losses.effective_number_weights(counts, flags.class_balanced_beta)
        return losses.ClassWeighted(loss, weights, flags.drw_epoch * self.steps_per_epoch)

    @property
    def class_sizes(self):
        """Number of training examples of each class by the given labels, a list."""
        return np.bincount(self.dataset.train_labels, minlength=self.dataset.num_classes).tolist()

    @property
    def validation_loss(self):
        """L_c."""
        return softmax.mean_cross_entropy

    def make_metrics(self):
        """Keras metrics of the training batches; call it in the strategy's scope."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    @property
    def learning_rate(self):
        """alpha, a number or a schedule."""
        return build_optimizers.learning_rate(self.optimization, self.total_steps, self.steps_per_epoch)

    @property
    def steps_per_epoch(self):
        """Training steps in an epoch."""
        return build_data.steps_per_epoch(self.optimization, self.dataset)

    @property
    def plain_steps_per_epoch(self):
        """The same before `meta_from_epoch`."""
        return self.steps_per_epoch

    @property
    def total_steps(self):
        """Length of the run; None where epochs differ in their steps."""
        optimization = self.optimization
        return optimization.train_steps or optimization.epochs * self.steps_per_epoch

    @property
    def total_steps_of_all(self):
        """The same of all methods together."""
        return self.total_steps and self.total_steps * len(self.seeds)

    @property
    def epochs(self):
        """Epochs of the run, the last perhaps a part of one."""
        return -(-self.total_steps // self.steps_per_epoch)

    def make_history(self, progress):
        """What the run reports of its epochs; `progress` is a list of one `progress.Progress` for each method."""
        return history.MethodHistory(*progress)

    def check(self, run):
        """Tells now, not after epochs without a meta step, that there are too few trusted examples."""
        method = run.members[0].method
        if method.needs_meta_batches and not method.draws_epochs:
            run.members[0].feed.meta(0, 0)

    def make_prepare(self, run, number):
        """What comes before a step of that method (`training.step.compile_step`); None for nothing."""

    def make_plan(self, run, runners):
        """What epochs consist of, as `training.loop.TrainingLoop` takes it."""
        feed, total, method = run.members[0].feed, self.total_steps, runners[0].method
        look = looks.Looks(run.strategy, feed, self.dataset)

        def begin(epoch):
            if not runners[0].progress.epoch_step:  # after a resume in mid-epoch the method's variables have it all
                method.open_epoch(epoch, look)

        if method.draws_epochs:
            return plan.DrawnEpochs(method, look.labels, look.stream, feed.steps_per_epoch, total, begin)
        return plan.AllBatches(
            method,
            training_batches=lambda first_step: feed.training(first_step, total),
            meta_batches=lambda first_step: feed.meta(first_step, total),
            steps_per_epoch=feed.steps_per_epoch,
            total_steps=total,
            begin=begin,
        )

    def batches_to_time(self, run, runners, number):
        """A training and a meta batch of that method; None where there are none yet."""
        feed = run.members[number].feed
        return next(feed.training(0, 1)), next(feed.meta(0, 1))

    def make_callbacks(self, run, workdir):
        """What TensorBoard shows besides what it shows of each method."""
        return []

    def draw(self, run, workdir):
        """Draws what is to be seen besides."""

    def clean_probability(self):
        """How likely each label is right by the last splits, float32 [N]; None without any."""
        return None


class OwnPseudoCleanSet(GivenLabels):
    """The meta set is what the network's own losses say is labelled right."""

    def __init__(self, flags, dataset, **others):
        super().__init__(flags, dataset, **others)
        self.kept = co_divide.CoDivideState(len(self.seeds), len(dataset.train_labels))

    def check(self, run):
        """Nothing: the plan says what it needs."""

    def make_plan(self, run, runners):
        """Algorithm 2's epochs on the given labels."""
        return co_divide.GivenLabelsPlan(*self._plan_arguments(run, runners), **self._plan_options())

    def batches_to_time(self, run, runners, number):
        """A batch of the pseudo-clean set takes as long as any."""
        feed = run.members[number].feed
        return next(feed.training(0, 1)), next(feed.training(0, 1))

    def make_callbacks(self, run, workdir):
        """The splits."""
        return [self._split_summaries(run, workdir, sets=())]

    def draw(self, run, workdir):
        """The last splits."""
        splits.draw(workdir, self.kept, self.dataset.is_clean, run.history.epochs)

    def clean_probability(self):
        """The mean over the networks; NaN for an example that was not scanned."""
        if self.kept.epoch < 0:
            return None
        return np.mean([split.clean_probability for split in self.kept.splits], axis=0)

    def _split_summaries(self, run, workdir, sets):
        folder = pathlib.Path(workdir, "tensorboard")
        return splits.SplitSummaries(folder, self.kept, run.history.epochs, self.dataset.is_clean, sets)

    def _plan_arguments(self, run, runners):
        optimization = self.optimization
        sizes = co_divide.Sizes(self.meta_from_epoch, optimization.batch_size, optimization.meta_batch_size)
        feeds = [member.feed for member in run.members]
        scan = make_scan(run.strategy, run.methods, feeds[0], self.dataset.train_labels)
        return runners, feeds, scan, self.kept, self.flags, sizes

    def _plan_options(self):
        return {"seed": self.seed, "epochs": self.epochs, "is_clean": self.dataset.is_clean}


class PeersPseudoCleanSets(OwnPseudoCleanSet):
    """The simple form of Algorithm 2: two networks alternately, each with what the other one's losses say is right."""

    def __init__(self, flags, dataset, **others):
        super().__init__(flags, dataset, **others)
        self.seeds = [seed_of(self.seed, number) for number in range(2)]
        self.names = [("network1", "_1"), ("network2", "_2")]
        self.kept = co_divide.CoDivideState(len(self.seeds), len(dataset.train_labels))

    def make_history(self, progress):
        """Each network has its own, and both have one in common."""
        return history.JointHistory(progress, self.kept)

    def make_callbacks(self, run, workdir):
        """The splits, and the evaluation of both networks together."""
        return [self._split_summaries(run, workdir, run.members[0].feed.evaluated)]


class UnlabelledImages(PeersPseudoCleanSets):
    """Algorithm 2 in full: what is not pseudo-clean is trained on without its label."""

    def make_loss(self):
        """DivideMix's, of mixed targets."""
        flags = self.flags
        return losses.SemiSupervised(flags.prior_penalty, flags.confidence_penalty)

    @property
    def validation_loss(self):
        """L_c with the penalty on the mean prediction."""
        return dividemix.validation_loss(self.flags.prior_penalty)

    def make_metrics(self):
        """None: mixed targets have no class that would be right."""
        return []

    @property
    def learning_rate(self):
        """alpha of the first epoch; the plan sets it in each."""
        return build_optimizers.rate_of_epoch(self.optimization)(0)

    @property
    def plain_steps_per_epoch(self):
        """Batches of the warm-up are twice as large."""
        optimization = self.optimization
        count = optimization.batches_per_epoch * optimization.batch_size or len(self.dataset.train_labels)
        return max(count // (2 * optimization.batch_size), 1)

    @property
    def total_steps(self):
        """Nobody knows: epochs are as long as the pseudo-clean sets."""
        return None

    @property
    def epochs(self):
        """Epochs of the run."""
        return self.optimization.epochs

    def make_prepare(self, run, number):
        """Label refinement and guessing, and MixUp."""
        methods = [member.method for member in run.members]
        return co_divide.make_prepare(methods, number, self.flags, self.seed)

    def make_plan(self, run, runners):
        """Algorithm 2's epochs with unlabelled images."""
        rate = build_optimizers.rate_of_epoch(self.optimization)
        options = self._plan_options() | {"learning_rate": rate}
        return co_divide.UnlabelledPlan(*self._plan_arguments(run, runners), **options)

    def batches_to_time(self, run, runners, number):
        """Of the last epoch's split; None before the first."""
        if self.kept.epoch < 0:
            return None
        phase = self.make_plan(run, runners).phases(self.kept.epoch)[number]
        return next(pair for pair in phase.batches(0) if pair[1] is not None)


def seed_of(seed, number):
    """The seed of one of several networks, for the seed of the run."""
    return (seed + 1_000_003 * number) % 2**31


def make_scan(strategy, methods, feed, labels):
    """The pass over the given labels that Algorithm 2 splits by.

    Args:
      strategy: a `tf.distribute.Strategy`.
      methods: list of the run's `methods.base.Method`s.
      feed: `data.batches.feed.Feed`.
      labels: the given labels, int [N].

    Returns:
      Function of a method's number and the positions of examples (None: all) -> `methods.co_divide.Scan`.
    """
    scanners = [per_example.make_scanner(strategy, functools.partial(_logits, method.networks)) for method in methods]
    stop = stopping.Stop(strategy)

    def scan(number, sample):
        positions = np.arange(len(labels)) if sample is None else sample
        said = scanners[number](stop.during(feed.scan(sample)))

        def placed(values):
            scanned = np.full(len(labels), np.nan, np.float32)
            scanned[positions] = values[: len(positions)]
            return scanned

        scanned = ~np.isnan(said.loss[: len(positions)])
        right = said.predicted[: len(positions)] == labels[positions]
        return co_divide.Scan(placed(said.loss), placed(said.margin), float(right[scanned].mean()))

    return scan


def _logits(networks, images):
    return averaged.mean_logits([network(images, training=False) for network in networks])
