"""What a run shows: TensorBoard scalars and histograms, `results.json`, a picture, and the closing lines."""

import keras
import matplotlib.figure
import numpy as np
import tensorflow as tf

from famus_tf.files import whole_files
from famus_tf.reports import event_file
from famus_tf.training import best_epoch as selection


def split_example_weights(weights, given_labels, true_labels):
    """Weights of the examples with a right and with a wrong label.

    Args:
      weights: float32 [N], NaN where an example was not seen yet.
      given_labels: int [N].
      true_labels: int [N], or None where nobody knows them.

    Returns:
      Dict of float arrays: `clean` and `noisy`, or `all` where the true labels are not known.
    """
    seen = ~np.isnan(weights)
    if true_labels is None:
        return {"all": weights[seen]}
    right = given_labels == true_labels
    return {"clean": weights[seen & right], "noisy": weights[seen & ~right]}


class TensorBoard(keras.callbacks.Callback):
    """Writes a run's scalars and histograms for TensorBoard.

    Every `every` steps: `train/*` (running means of the epoch), `learning_rate/*`, `time/step_seconds` and, with a
    meta step, `meta/*`. After every epoch: `test/*` and the same of further sets, `example_weight/{clean,noisy}` as
    mean and as histogram, `gates/<layer>` (how often it was on in this epoch). The step axis is the number of training
    steps.

    Args:
      directory: folder of the event files.
      method: a `methods.base.Method`.
      progress: its `progress.Progress`, which the training loop keeps up to date. Steps and epochs that leave it as it
        is are another network's.
      given_labels, true_labels: int [N]; the latter None where nobody knows them.
      every: steps between two writings of the scalars.
      sets: names of the sets that are evaluated.
    """

    def __init__(self, directory, method, progress, given_labels, true_labels, every, sets=("test",)):
        super().__init__()
        self._directory, self._every = str(directory), every
        self._method, self._progress = method, progress
        self._given_labels, self._true_labels, self._sets = given_labels, true_labels, sets
        self._last_step = progress.step
        self.events = None

    def on_train_begin(self, logs=None):
        """Opens the event file."""
        self.events = event_file.EventFile(self._directory)

    def on_train_batch_end(self, batch, logs=None):
        """Scalars, every so many steps."""
        step, before = self._progress.step, self._last_step
        self._last_step = step
        if step == before or step % self._every:
            return
        with self.events.at(step):
            for name, value in (logs or {}).items():
                group = "meta" if name in ("meta_loss", "selected_layers", "lowest_layer") else "train"
                tf.summary.scalar(f"{group}/{name}", value)
            for name, optimizer in self._method.optimizers.items():
                tf.summary.scalar(f"learning_rate/{name}", optimizer.learning_rate)
            seconds = self._progress.seconds_per_step(last=self._every)
            if seconds is not None:
                tf.summary.scalar("time/step_seconds", seconds)

    def on_epoch_end(self, epoch, logs=None):
        """Test results, example weights and gates of the epoch."""
        with self.events.at(self._progress.step):
            write_evaluations(self._progress.history[-1], self._sets)
            weights = split_example_weights(self._progress.example_weight, self._given_labels, self._true_labels)
            for name, values in weights.items():
                if len(values):
                    tf.summary.scalar(f"example_weight/{name}_mean", values.mean())
                    tf.summary.histogram(f"example_weight/{name}", values)
            self._write_gates()
        self.events.flush()

    def on_train_end(self, logs=None):
        """Closes the event file."""
        self.events.close()

    def _write_gates(self):
        shares = self._progress.history[-1].get("gates", ())
        for number, (layer, share) in enumerate(zip(self._method.gated_layers, shares, strict=False), start=1):
            tf.summary.scalar(f"gates/{number:03d}_{layer.name.replace('/', '.')}", share)


def write_evaluations(epoch, sets):
    """Writes what an epoch's history says of its evaluations as scalars `<set>/<what>` of the present writer.

    Args:
      epoch: dict of a history.
      sets: names of the sets that are evaluated.
    """
    for name, value in epoch.items():
        for evaluated in sets:
            if name.startswith(f"{evaluated}_") and isinstance(value, float):
                tf.summary.scalar(f"{evaluated}/{name.removeprefix(f'{evaluated}_')}", value)


def results(progress, bundle, *, method, selector, seed):
    """The contents of `results.json`.

    Args:
      progress: `progress.Progress`, or `progress.Joint`, of a run with at least one epoch done.
      bundle: `data.bundle.Bundle`.
      method, selector: names, as in the flags.
      seed: int.

    Returns:
      Dict that JSON can hold; accuracies are fractions, layers are numbered 1..L, what does not apply is None. With
      a validation set `test_accuracy` has `selected` too, that of the epoch which it chooses, and `selected_epoch` is
      that epoch's entry of the history. `test_top5`, and `accuracy` and `top5` of `other_tests`, further test sets, are
      of that epoch, else of the last.
    """
    accuracies = [epoch["test_accuracy"] for epoch in progress.history]
    weights = split_example_weights(progress.example_weight, bundle.train_labels, bundle.train_true_labels)
    gated = progress.gate_steps > 0
    selected = selection.best_epoch(progress.history)
    final = selected or progress.history[-1]
    return {
        "dataset": bundle.name,
        "actual_noise_rate": bundle.actual_noise_rate,
        "method": method,
        "selector": selector if gated else None,
        "seed": seed,
        "steps": progress.step,
        "test_accuracy": {"peak": max(accuracies), "last": accuracies[-1]}
        | ({"selected": selected["test_accuracy"]} if selected else {}),
        "test_top5": final["test_top5"],
        "selected_epoch": selected,
        "other_tests": {
            name: {key: final[f"{name}_{key}"] for key in ("accuracy", "top5")} for name in bundle.other_tests
        },
        "by_class_size": {
            name: final[f"test_{name}"] for name in ("class_mean", "many", "medium", "few") if f"test_{name}" in final
        },
        "classes": [
            {"name": name, "training_images": int(count), "test_accuracy": accuracy}
            for name, count, accuracy in zip(
                bundle.class_names,
                np.bincount(bundle.train_labels, minlength=bundle.num_classes),
                final["test_class_accuracy"],
                strict=True,
            )
        ],
        "split": progress.history[-1].get("split", []),
        "train_seconds_per_step": progress.seconds_per_step(),
        "train_seconds_per_meta_step": progress.seconds_per_meta_step(),
        "mean_lowest_layer": progress.lowest_sum / progress.gate_steps if gated else None,
        "selected_layers": float(progress.gate_sums.sum() / progress.gate_steps) if gated else None,
        "layers": len(progress.gate_sums) if gated else None,
        "example_weight": {
            name: float(weights[name].mean()) if len(weights.get(name, ())) else None for name in ("clean", "noisy")
        },
        "stage_times": progress.stage_times,
        "history": progress.history,
    }


def save_figure(figure, path, dpi=110):
    """Writes a matplotlib figure as PNG, whole or not at all; an InputError says that it cannot be written."""
    with whole_files.written(path) as place:
        figure.savefig(place, dpi=dpi)


def draw(path, summary, progress, bundle):
    """Draws a run: accuracy over the steps, and the example weights of right and of wrong labels.

    Args:
      path: PNG file to write.
      summary: what `results` returned.
      progress, bundle: as in `results`.
    """
    figure = matplotlib.figure.Figure(figsize=(10, 3.6), layout="constrained")
    curve, weights = figure.subplots(1, 2)
    steps = [epoch["step"] for epoch in progress.history]
    for name in bundle.held_out:
        if name != "meta":
            values = [100 * epoch[f"{name}_accuracy"] for epoch in progress.history]
            curve.plot(steps, values, color="tab:blue" if name == "test" else None, label=name)
    if "accuracy" in progress.history[0]:
        training = [100 * epoch["accuracy"] for epoch in progress.history]
        curve.plot(steps, training, color="tab:gray", label="training, given labels")
    elif "split" in progress.history[-1]:
        scanned = [epoch for epoch in progress.history if "split" in epoch]
        known = [100 * np.mean([one["given_label_accuracy"] for one in epoch["split"]]) for epoch in scanned]
        curve.plot([epoch["step"] for epoch in scanned], known, color="tab:gray", label="training, given labels")
    last, peak = summary["test_accuracy"]["last"], summary["test_accuracy"]["peak"]
    curve.set(xlabel="training step", ylabel="accuracy (%)", title=f"test accuracy: last {last:.1%}, peak {peak:.1%}")
    curve.legend(loc="lower right")
    curve.grid(alpha=0.3)
    parts = split_example_weights(progress.example_weight, bundle.train_labels, bundle.train_true_labels)
    top = max([float(values.max()) for values in parts.values() if len(values)], default=1.0) or 1.0
    names = {"clean": ("label right", "tab:green"), "noisy": ("label wrong", "tab:red"), "all": ("all", "tab:blue")}
    for name, values in parts.items():
        label, color = names[name]
        if len(values):
            weights.hist(
                values, bins=np.linspace(0, top, 40), alpha=0.6, color=color, label=f"{label} ({len(values):,} images)"
            )
    weights.set(xlabel="example weight (1: as in a plain mean)", ylabel="images", title="how far each label is trusted")
    weights.legend()
    weights.grid(alpha=0.3)
    save_figure(figure, path)


def draw_classes(path, summary, bundle):
    """Draws the test accuracy of each class over the number of its training images, and the means of the groups.

    Args:
      path: PNG file to write.
      summary: what `results` returned.
      bundle: as in `results`.
    """
    classes = [one for one in summary["classes"] if one["test_accuracy"] is not None]
    counts = np.array([max(one["training_images"], 1) for one in classes])
    accuracies = np.array([100 * one["test_accuracy"] for one in classes])
    figure = matplotlib.figure.Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    axis.scatter(counts, accuracies, color="tab:blue", s=22, zorder=3, label="a class")
    for name, low, high in (("many", 101, np.inf), ("medium", 20, 100), ("few", 0, 19)):
        inside = (counts >= low) & (counts <= high)
        if inside.any() and name in summary["by_class_size"]:
            mean = 100 * summary["by_class_size"][name]
            ends = counts[inside].min() / 1.08, counts[inside].max() * 1.08
            axis.hlines(mean, *ends, color="tab:orange", linewidth=2.5, zorder=2)
            axis.annotate(
                f"{name}: {mean:.1f}", (ends[0], mean), (0, 4), textcoords="offset points", color="tab:orange"
            )
    if len(classes) <= 20:
        for one, count, accuracy in zip(classes, counts, accuracies, strict=True):
            axis.annotate(one["name"], (count, accuracy), (4, -9), textcoords="offset points", fontsize=7)
    axis.set(xscale="log", xlabel="training images of the class, by the given labels", ylabel="test accuracy (%)")
    axis.set_ylim(-3, 108)
    axis.margins(x=0.12)
    axis.set_title(f"{bundle.name}: test accuracy by class, mean {100 * summary['by_class_size']['class_mean']:.1f}%")
    axis.grid(alpha=0.3)
    save_figure(figure, path)


def describe(summary, workdir):
    """The closing lines of a run.

    Args:
      summary: what `results` returned.
      workdir: the run directory.

    Returns:
      A few lines of text.
    """
    accuracy = summary["test_accuracy"]
    lines = [
        f"{summary['dataset']}, {summary['method']}: test accuracy {accuracy['last']:.2%} "
        f"(peak {accuracy['peak']:.2%}) after {summary['steps']:,} steps",
    ]
    by_size = {"mean over classes" if key == "class_mean" else key: v for key, v in summary["by_class_size"].items()}
    if "few" in by_size or "medium" in by_size:
        lines.append("  " + ", ".join(f"{name} {value:.2%}" for name, value in by_size.items()))
    selected = summary["selected_epoch"]
    if selected:
        lines.append(
            f"  {accuracy['selected']:.2%} after epoch {selected['epoch']}, the best on the validation set "
            f"({selected['validation_accuracy']:.2%}); its weights are exported"
        )
    for name, found in summary["other_tests"].items():
        lines.append(f"  {name}: accuracy {found['accuracy']:.2%}, top-5 {found['top5']:.2%}")
    for number, network in enumerate(summary.get("networks", ()), start=1):
        alone = network["test_accuracy"]
        lines.append(f"  network {number} alone: {alone['last']:.2%} (peak {alone['peak']:.2%})")
    for number, split in enumerate(summary["history"][-1].get("split", ()), start=1):
        known = "" if split.get("auc") is None else f", AUC of the clean probability {split['auc']:.3f}"
        lines.append(f"  split by network {number}: {split['clean']:,} pseudo-clean, {split['noisy']:,} not{known}")
    if summary["skipped_images"]:
        lines.append(f"  {summary['skipped_images']:,} image files that cannot be read were skipped: bad_images.csv")
    if summary["train_seconds_per_step"]:
        lines.append(f"  {1000 * summary['train_seconds_per_step']:.0f} ms per training step")
    weight = summary["example_weight"]
    if summary["selected_layers"] is not None:
        lines.append(
            f"  {summary['selected_layers']:.1f} of {summary['layers']} layers selected, the lowest on average "
            f"{summary['mean_lowest_layer']:.1f}"
        )
        if weight["clean"] is not None and weight["noisy"] is not None:
            lines.append(f"  mean weight of right labels {weight['clean']:.2f}, of wrong labels {weight['noisy']:.2f}")
    lines.append(f"  results, curves.png, SavedModel and TensorBoard logs in {workdir}")
    return "\n".join(lines)
