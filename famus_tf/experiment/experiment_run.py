"""One training run: its networks, their training, and what is shown of it; the third part of the composition root."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors, networks
from famus_tf.data import bundle as bundles
from famus_tf.data.batches import feed
from famus_tf.devices import distribution
from famus_tf.evaluation import accuracy as evaluation
from famus_tf.experiment import experiment_parts
from famus_tf.methods import co_divide, famus
from famus_tf.profiling import segment_times, stage_times
from famus_tf.reports import diagnostics, division_board, summaries
from famus_tf.training import best_epoch as selection
from famus_tf.training import loop as training
from famus_tf.training import progress, stopping


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a run is made of; of `trainers`, `progress` and `feeds` one for each network, of which Algorithm 2 has two.

    Attributes:
      metrics: list of the Keras metrics that each trainer was compiled with.
      network: the network that is evaluated: of two the mean of their logits.
      divisions: `co_divide.Divisions`, None where the meta set is a trusted one.
      epochs, total_steps: length of the run; the latter None where epochs differ in their steps.
    """

    strategy: tf.distribute.Strategy
    trainers: list[famus.FaMUS]
    progress: list[progress.Progress]
    feeds: list[feed.Feed]
    metrics: list[list[keras.metrics.Metric]]
    network: keras.Model
    divisions: co_divide.Divisions | None
    checkpoints: progress.Checkpoints
    best_weights: selection.BestWeights
    bundle: bundles.Bundle
    epochs: int
    total_steps: int | None

    @property
    def step(self):
        """Training steps done, with all networks."""
        return sum(one.step for one in self.progress)

    @property
    def history(self):
        """List of one dict for each epoch done."""
        return self.progress[0].history if len(self.progress) == 1 else self.divisions.history

    @property
    def together(self):
        """What results are made of: the progress of the network, or of both."""
        return self.progress[0] if len(self.progress) == 1 else progress.Joint(self.progress, self.history)


def assemble(config, bundle, strategy, workdir):
    """Builds all parts of a run; nothing is restored yet.

    Args:
      config: `config.Config`.
      bundle: `data.bundle.Bundle`.
      strategy: a `tf.distribute.Strategy`.
      workdir: the run directory.

    Returns:
      `Parts`.

    Raises:
      InputError: the configuration asks for more than the data have.
    """
    optimization, per_epoch = config.optimization, experiment_parts.steps_per_epoch(config, bundle)
    total_steps = optimization.train_steps or optimization.epochs * per_epoch
    numbers = range(2 if config.co_divide.algorithm == "co_divide" else 1)
    bad = experiment_parts.find_bad_images(config, bundle, strategy)
    feeds = [experiment_parts.make_feed(config, bundle, strategy, bad, number) for number in numbers]
    with strategy.scope():
        # Mixed targets have no class that would be right.
        metrics = [
            [] if config.co_divide.mixes else [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
            for _ in numbers
        ]
        trainers = [
            experiment_parts.make_trainer(config, bundle, total_steps, metrics[number], number) for number in numbers
        ]
        for trainer in trainers:
            trainer.record_meta_gradient = config.run.log_meta_gradient
        done = [progress.Progress(len(bundle.train_labels), len(trainer.gated_layers)) for trainer in trainers]
        pseudo_clean = config.co_divide.meta_set == "pseudo_clean"
        divisions = co_divide.Divisions(len(numbers), len(bundle.train_labels)) if pseudo_clean else None
        checkpoints = progress.Checkpoints(trainers, done, workdir / "checkpoints", metrics, strategy, divisions)
        single = trainers[0].network
        network = single if len(trainers) == 1 else networks.Averaged([trainer.network for trainer in trainers])
    best = selection.BestWeights(network, workdir / "best.weights.h5", strategy)
    if trainers[0].meta_learner.has_meta_step and not pseudo_clean:
        feeds[0].meta(0, 0)  # tells now, not after epochs without a meta step, that there are too few of them
    return Parts(
        strategy=strategy,
        trainers=trainers,
        progress=done,
        feeds=feeds,
        metrics=metrics,
        network=network,
        divisions=divisions,
        checkpoints=checkpoints,
        best_weights=best,
        bundle=bundle,
        epochs=-(-total_steps // per_epoch),
        total_steps=None if config.co_divide.mixes else total_steps,
    )


def training_loop(config, parts):
    """The `training.TrainingLoop` of a run whose checkpoint, if there is one, is restored."""
    learners = _learners(config, parts)
    return training.TrainingLoop(
        learners=learners,
        plan=_plan(config, parts, learners),
        history=parts.history,
        checkpoints=parts.checkpoints,
        checkpoint_every=config.run.checkpoint_every,
        evaluate=_make_evaluate(parts),
        best_weights=parts.best_weights,
    )


def _learners(config, parts):
    return [
        training.Learner(
            parts.strategy,
            trainer,
            done,
            config.run.jit_compile,
            _prepare(config, parts, number),
            parts.metrics[number],
        )
        for number, (trainer, done) in enumerate(zip(parts.trainers, parts.progress, strict=True))
    ]


def _prepare(config, parts, number):
    """What comes before a step of that network; None for nothing."""
    if not config.co_divide.mixes:
        return None
    return co_divide.make_prepare(parts.trainers, number, config.co_divide, config.run.seed)


def _plan(config, parts, learners):
    if parts.divisions is None:
        batches, total = parts.feeds[0], parts.total_steps
        return training.OneNetwork(
            parts.trainers[0],
            training_batches=lambda first_step: batches.training(first_step, total),
            meta_batches=lambda first_step: batches.meta(first_step, total),
            steps_per_epoch=batches.steps_per_epoch,
            total_steps=total,
        )
    sizes = config.optimization
    return co_divide.CoDivide(
        learners,
        parts.feeds,
        _make_scan(parts),
        parts.divisions,
        config.co_divide,
        co_divide.Sizes(config.method.meta_from_epoch, sizes.batch_size, sizes.meta_batch_size),
        seed=config.run.seed,
        epochs=parts.epochs,
        learning_rate=experiment_parts.rate_of_epoch(config) if config.co_divide.mixes else None,
        is_clean=parts.bundle.is_clean,
    )


def _make_scan(parts):
    scanners = [
        evaluation.make_scanner(parts.strategy, lambda images, network=trainer.network: network(images, training=False))
        for trainer in parts.trainers
    ]
    stop = stopping.Stop(parts.strategy)

    def scan(number, sample):
        positions = np.arange(len(parts.bundle.train_labels)) if sample is None else sample
        losses, right = scanners[number](stop.during(parts.feeds[0].scan(sample)))
        found = np.full(len(parts.bundle.train_labels), np.nan, np.float32)
        found[positions] = losses[: len(positions)]
        known = ~np.isnan(losses)
        return found, float(right[known].mean())

    return scan


def _make_evaluate(parts):
    """Function () -> list of logs on all sets: of each network, and of several also of all of them together."""
    counts = np.bincount(parts.bundle.train_labels, minlength=parts.bundle.num_classes)

    def predict(images):
        if len(parts.trainers) == 1:
            return [parts.network(images, training=False)]
        each = parts.network.each(images)
        return [*each, sum(each) / len(each)]

    evaluator, sets = evaluation.make_evaluator(parts.strategy, predict), parts.feeds[0]
    stop = stopping.Stop(parts.strategy)

    def evaluate():
        found = None
        for name in sets.evaluated:
            logs = evaluator(stop.during(sets.evaluation(name)))
            found = found or [{} for _ in logs]
            for entry, one in zip(found, logs, strict=True):
                entry |= {f"{name}_{key}": float(one[key]) for key in ("accuracy", "top5", "loss")}
                if name == "test":
                    by_size = evaluation.by_class_size(one["class_accuracy"], counts)
                    entry |= {f"test_{key}": value for key, value in by_size.items()}
                    entry["test_class_accuracy"] = one["class_accuracy"]
        return found

    return evaluate


def make_callbacks(config, parts, workdir):
    """What is shown of a run in TensorBoard: of each network, and of the splits of Algorithm 2."""
    bundle, sets = parts.bundle, parts.feeds[0].evaluated
    callbacks = []
    for number, (trainer, done) in enumerate(zip(parts.trainers, parts.progress, strict=True), start=1):
        labels = bundle.train_labels, bundle.train_true_labels
        own = _events(parts, workdir, number)
        board = summaries.TensorBoard(own, trainer, done, *labels, config.run.summary_every, sets)
        callbacks += [board, diagnostics.Diagnostics(board, trainer, done)]
    if parts.divisions is not None:
        folder = pathlib.Path(workdir, "tensorboard")
        callbacks.append(division_board.DivisionBoard(folder, parts.divisions, parts.history, bundle.is_clean, sets))
    return callbacks


def _events(parts, workdir, number):
    """Folder of the event files of one network, counted from 1."""
    folder = pathlib.Path(workdir, "tensorboard")
    return folder if len(parts.trainers) == 1 else folder / f"network{number}"


def network_to_export(config, parts):
    """The network that is exported, and a line that says which one where there are two.

    Raises:
      InputError: the better one is asked for before the first epoch has ended.
    """
    if len(parts.trainers) == 1:
        return parts.network, ""
    if config.co_divide.export_network == "pair":
        return parts.network, "exported: the mean of both networks' logits\n"
    if not parts.history:
        raise errors.InputError(
            "--export_network=better before the end of the first epoch: expected a checkpoint after it, as before it "
            "nothing says which network is better"
        )
    best = selection.best_epoch(parts.history)
    name = "test_accuracy" if best is None else "validation_accuracy"
    epoch = -1 if best is None else parts.history.index(best)
    accuracies = [done.history[epoch][name] for done in parts.progress]
    better = int(np.argmax(accuracies))
    said = f"exported: network {better + 1}, with the better {name.replace('_', ' ')} of {accuracies[better]:.2%}"
    if best is None:
        said += "; there is no validation set to choose it by"
    return parts.trainers[better].network, said + "\n"


def time_stages(config, parts, workdir):
    """Where it is asked for, once when the run starts and once at its end, when the sampler has settled.

    With unlabelled images there is nothing to time before the training set is split.
    """
    for number, (trainer, done) in enumerate(zip(parts.trainers, parts.progress, strict=True)):
        timed = {entry["step"] for entry in done.stage_times}
        due = not timed or (len(parts.history) == parts.epochs and done.step not in timed)
        if not (due and config.run.log_stage_times and trainer.meta_learner.has_meta_step):
            continue
        data = _batches_to_time(config, parts, number)
        if data is None:
            continue
        prepare = _prepare(config, parts, number)
        seconds = stage_times.measure(trainer, data, strategy=parts.strategy, prepare=prepare)
        done.stage_times.append({"step": done.step, "seconds": seconds})
        if distribution.is_chief(parts.strategy):
            diagnostics.write_stage_times(_events(parts, workdir, number + 1), done.step, seconds)


def _batches_to_time(config, parts, number):
    """A training and a meta batch of that network; None where there are none yet."""
    feed_of_it = parts.feeds[number]
    if config.co_divide.mixes:
        if parts.divisions.epoch < 0:
            return None
        turn = _plan(config, parts, _learners(config, parts)).turns(parts.divisions.epoch)[number]
        return next(pair for pair in turn.batches(0) if pair[1] is not None)
    meta = feed_of_it.training(0, 1) if parts.divisions is not None else feed_of_it.meta(0, 1)
    return next(feed_of_it.training(0, 1)), next(meta)


def measure_costs(parts):
    """Sets each trainer's layer costs by measured seconds."""
    images = next(parts.feeds[0].training(0, 1))[0]
    for trainer in parts.trainers:
        shares = segment_times.measure(trainer.segments, images)
        trainer.layer_costs.assign(segment_times.costs_from_top(trainer.gated_layers, shares))
        print("measured shares of the segments: " + ", ".join(f"{share:.3f}" for share in shares), flush=True)
