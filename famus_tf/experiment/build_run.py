"""One training run: its methods with their batches and progress, their training, and what is shown of it."""

import dataclasses
import functools
import os
import pathlib
import zlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf.data import dataset as datasets
from famus_tf.data.batches import feed
from famus_tf.devices import cluster as clusters
from famus_tf.evaluation import accuracy as evaluation
from famus_tf.experiment import build_data, build_method, build_network, supervision
from famus_tf.methods import averaged, base
from famus_tf.networks import initial_weights
from famus_tf.profiling import segment_times, stage_times
from famus_tf.reports import gates, tensorboard
from famus_tf.training import best_epoch, checkpoint_files, history, loop, progress, runner, stopping


@dataclasses.dataclass(frozen=True)
class Member:
    """One method of a run, and what belongs to it.

    Attributes:
      name: its folder in TensorBoard; empty where it is the only one.
      suffix: of its pictures' names; empty where it is the only one.
      metrics: the Keras metrics that it was compiled with.
    """

    name: str
    suffix: str
    method: base.Method
    progress: progress.Progress
    feed: feed.Feed
    metrics: list[keras.metrics.Metric]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
      members: one `Member` for each method.
      supervised: one of the classes of `supervision`.
      network: what is evaluated; of several networks the mean of their logits.
      history: `training.history.MethodHistory` or `JointHistory`.
    """

    strategy: tf.distribute.Strategy
    dataset: datasets.Dataset
    supervised: supervision.GivenLabels
    members: list[Member]
    network: keras.Model
    history: history.MethodHistory | history.JointHistory
    checkpoints: progress.Checkpoints
    best_weights: best_epoch.BestWeights

    @property
    def methods(self):
        """Each member's method."""
        return [member.method for member in self.members]

    @property
    def networks(self):
        """What all methods have to evaluate."""
        return [network for method in self.methods for network in method.evaluated]

    @property
    def is_done(self):
        """Whether all epochs have been trained."""
        return len(self.history.epochs) >= self.supervised.epochs


def assemble(config, dataset, strategy, workdir):
    """Builds all parts of a run; nothing is restored yet.

    Args:
      config: `config.Config`.
      dataset: `data.dataset.Dataset`.
      strategy: a `tf.distribute.Strategy`.
      workdir: the run directory.

    Returns:
      `Run`.

    Raises:
      InputError: the configuration asks for more than the data have.
    """
    bad = build_data.find_bad_images(config.data, dataset, strategy, workdir)
    folder = workdir / "checkpoints"
    initial = _initial_weights(config.run, strategy, workdir)
    supervised = make_supervision(config, dataset)
    feeds = [
        build_data.make_feed(config.optimization, dataset, strategy, seed, config.run.eval_batch_size, bad)
        for seed in supervised.seeds
    ]
    with strategy.scope():
        metrics = [supervised.make_metrics() for _ in feeds]
        methods = [make_method(config, supervised, one, number, initial) for number, one in enumerate(metrics)]
        done = [progress.Progress(len(dataset.train_labels), len(method.gated_layers)) for method in methods]
        checkpoints = progress.Checkpoints(methods, done, folder, metrics, strategy, supervised.kept)
        network = averaged.as_one([network for method in methods for network in method.evaluated])
    run = Run(
        strategy=strategy,
        dataset=dataset,
        supervised=supervised,
        members=[
            Member(*names, *parts)
            for names, *parts in zip(supervised.names, methods, done, feeds, metrics, strict=True)
        ],
        network=network,
        history=supervised.make_history(done),
        checkpoints=checkpoints,
        best_weights=best_epoch.BestWeights(network, workdir / "best.weights.h5", strategy),
    )
    supervised.check(run)
    return run


def make_supervision(config, dataset):
    """What the run's labels are trusted for: one of the classes of `supervision`."""
    return supervision.of(
        config.co_divide,
        dataset,
        loss=config.loss,
        optimization=config.optimization,
        meta_from_epoch=config.method.meta_from_epoch,
        seed=config.run.seed,
    )


def _initial_weights(run_flags, strategy, workdir):
    """Where option `init_from` is read from: the run directory's own copy, as what it names may be gone later."""
    copy = workdir / "initial_weights.npz"
    if run_flags.init_from and not checkpoint_files.all_in(workdir / "checkpoints") and clusters.is_chief(strategy):
        initial_weights.keep(run_flags.init_from, copy)
    return str(copy) if run_flags.init_from and copy.exists() else run_flags.init_from


def make_method(config, supervised, metrics=(), number=0, initial=None):
    """One compiled `methods.base.Method` of the run, as `build_method.make_method`; call it in the strategy's scope.

    Weights of an earlier run are read from `initial`; None: where option `init_from` says.
    """
    run_flags = config.run if initial is None else dataclasses.replace(config.run, init_from=initial)
    method = build_method.make_method(
        supervised,
        functools.partial(build_network.make_seeded_network, run_flags, config.loss, supervised.dataset),
        config.method,
        config.optimization,
        config.baselines,
        forget_rate=config.forget_rate,
        record_meta_gradient=config.run.log_meta_gradient,
        metrics=metrics,
        number=number,
    )
    if config.optimization.ema:
        method.keep_averages(config.optimization.ema)
    return method


def training_loop(run_flags, run):
    """The `training.loop.TrainingLoop` of a run whose checkpoint, if there is one, is restored."""
    runners = make_runners(run_flags, run)
    return loop.TrainingLoop(
        runners=runners,
        plan=run.supervised.make_plan(run, runners),
        history=run.history,
        checkpoints=run.checkpoints,
        checkpoint_every=run_flags.checkpoint_every,
        evaluate=_make_evaluate(run),
        best_weights=run.best_weights,
    )


def make_runners(run_flags, run):
    """A `training.runner.Runner` for each method; `run_flags` is a `config.run.RunConfig`."""
    return [
        runner.Runner(
            run.strategy,
            member.method,
            member.progress,
            run_flags.jit_compile,
            run.supervised.make_prepare(run, number),
            member.metrics,
        )
        for number, member in enumerate(run.members)
    ]


def _make_evaluate(run):
    """Function () -> list of logs on all sets: of each network and of all of them together, or of the only one."""
    counts = np.bincount(run.dataset.train_labels, minlength=run.dataset.num_classes)
    parts = run.networks

    def predict(images):
        return averaged.each_and_mean([network(images, training=False) for network in parts])

    evaluator, sets = evaluation.make_evaluator(run.strategy, predict), run.members[0].feed
    stop = stopping.Stop(run.strategy)

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


def make_callbacks(config, run, workdir):
    """What is shown of a run in TensorBoard: of each method, and what its supervision has to show.

    Args:
      config: `config.Config`.
      run: `Run`.
      workdir: the run directory.
    """
    dataset, callbacks = run.dataset, []
    labels = dataset.noisy_labels
    for member in run.members:
        folder = pathlib.Path(workdir, "tensorboard", member.name)
        board = tensorboard.TensorBoard(
            folder,
            member.method,
            member.progress,
            *labels,
            config.run.summary_every,
            member.feed.evaluated,
            config.hyperparameters(),
            _name_of(workdir),
        )
        callbacks += [board, gates.Diagnostics(board, member.method, member.progress)]
    return callbacks + run.supervised.make_callbacks(run, workdir)


def _name_of(workdir):
    """Of a run among others, also of those whose folders have the same last name."""
    place = pathlib.Path(workdir).absolute()
    return f"{place.name} {zlib.crc32(os.fsencode(place)):08x}"


def describe_network(run):
    """The networks of a run in a few words."""
    layers = len(run.networks[0].layers)
    several = f"{len(run.networks)} times " if len(run.networks) > 1 else ""
    return f"{several}{run.networks[0].name}, {layers:,} layers"


def time_stages(run_flags, run, workdir):
    """Where it is asked for, once when the run starts and once at its end, when the sampler has settled."""
    if not run_flags.log_stage_times:
        return
    for number, member in enumerate(run.members):
        done = member.progress
        timed = {entry["step"] for entry in done.stage_times}
        due = not timed or (run.is_done and done.step not in timed)
        if not due or not member.method.needs_meta_batches:
            continue
        data = run.supervised.batches_to_time(run, make_runners(run_flags, run), number)
        if data is None:
            continue
        prepare = run.supervised.make_prepare(run, number)
        seconds = stage_times.measure(member.method, data, strategy=run.strategy, prepare=prepare)
        done.stage_times.append({"step": done.step, "seconds": seconds})
        if clusters.is_chief(run.strategy):
            gates.write_stage_times(pathlib.Path(workdir, "tensorboard", member.name), done.step, seconds)


def measure_costs(run):
    """Sets the layer costs of each method that has layers to choose from by measured seconds."""
    images = next(run.members[0].feed.training(0, 1))[0]
    for member in run.members:
        if not member.method.gated_layers:
            continue
        shares = segment_times.measure(member.method.segments, images)
        member.method.layer_costs.assign(segment_times.costs_from_top(member.method.gated_layers, shares))
        print("measured shares of the segments: " + ", ".join(f"{share:.3f}" for share in shares), flush=True)
