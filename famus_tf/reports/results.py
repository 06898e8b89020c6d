"""`results.json`, and the closing lines of a run."""

import numpy as np
from sklearn import metrics

from famus_tf.training import best_epoch


def split_example_weights(weights, given_labels, true_labels):
    """Weights of the examples with a right and with a wrong label.

    Args:
      weights: float32 [N], NaN where an example was not seen yet; those behind the labels, of probes, count nowhere.
      given_labels: int [N].
      true_labels: int [N]; None where they are not known.

    Returns:
      Dict of float arrays: `clean` and `noisy`, or `all` where the true labels are not known.
    """
    weights = weights[: len(given_labels)]
    seen = ~np.isnan(weights)
    if true_labels is None:
        return {"all": weights[seen]}
    right = given_labels == true_labels
    return {"clean": weights[seen & right], "noisy": weights[seen & ~right]}


def results(progress, dataset, *, method, selector, seed):
    """The contents of `results.json`.

    Args:
      progress: `progress.Progress`, or `history.JointProgress`, of a run with at least one epoch done.
      dataset: `data.dataset.Dataset`.
      method, selector: names, as in the flags.
      seed: int.

    Returns:
      Dict that JSON can hold; accuracies are fractions, layers are numbered 1..L, what does not apply is None. With
      a validation set `test_accuracy` has `selected` too, that of the epoch which it chooses, and `selected_epoch` is
      that epoch's entry of the history. `test_top5`, and `accuracy` and `top5` of `other_tests`, further test sets, are
      of that epoch, else of the last.
    """
    accuracies = [epoch["test_accuracy"] for epoch in progress.history]
    weights = split_example_weights(progress.example_weight, *dataset.noisy_labels)
    gated = progress.gate_steps > 0
    selected = best_epoch.best_epoch(progress.history)
    final = selected or progress.history[-1]
    return {
        "dataset": dataset.name,
        "actual_noise_rate": dataset.actual_noise_rate,
        "method": method,
        "selector": selector if gated else None,
        "seed": seed,
        "steps": progress.step,
        "test_accuracy": {"peak": max(accuracies), "last": accuracies[-1]}
        | ({"selected": selected["test_accuracy"]} if selected else {}),
        "test_top5": final["test_top5"],
        "selected_epoch": selected,
        "other_tests": {
            name: {"accuracy": final[f"{name}_accuracy"], "top5": final[f"{name}_top5"]} for name in dataset.other_tests
        },
        "by_class_size": {
            name: final[f"test_{name}"] for name in ("class_mean", "many", "medium", "few") if f"test_{name}" in final
        },
        "classes": [
            {"name": name, "training_images": int(count), "test_accuracy": accuracy}
            for name, count, accuracy in zip(
                dataset.class_names,
                np.bincount(dataset.train_labels, minlength=dataset.num_classes),
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
        "example_weight": {name: _mean(weights.get(name, ())) for name in ("clean", "noisy")}
        | {"auc": _auc(weights.get("clean", ()), weights.get("noisy", ()))},
        "stage_times": progress.stage_times,
        "history": progress.history,
    }


def _auc(right, wrong):
    """The probability that a right label weighs more than a wrong one, ties half; None where there is one kind."""
    if not len(right) or not len(wrong):
        return None
    return float(metrics.roc_auc_score([True] * len(right) + [False] * len(wrong), np.concatenate([right, wrong])))


def _mean(values):
    return float(values.mean()) if len(values) else None


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
    by_size = summary["by_class_size"]
    if sum(name in by_size for name in ("many", "medium", "few")) > 1:  # classes differ in size
        names = {"class_mean": "mean over classes"}
        lines.append("  " + ", ".join(f"{names.get(key, key)} {value:.2%}" for key, value in by_size.items()))
    selected = summary["selected_epoch"]
    if selected:
        lines.append(
            f"  {accuracy['selected']:.2%} after epoch {selected['epoch']}, the best on the validation set "
            f"({selected['validation_accuracy']:.2%}); its weights are exported"
        )
    for name, figures in summary["other_tests"].items():
        lines.append(f"  {name}: accuracy {figures['accuracy']:.2%}, top-5 {figures['top5']:.2%}")
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
    both = weight["clean"] is not None and weight["noisy"] is not None
    if both and (summary["selected_layers"] is not None or weight["clean"] != weight["noisy"]):
        lines.append(
            f"  mean weight of right labels {weight['clean']:.2f}, of wrong labels {weight['noisy']:.2f}, AUC "
            f"{weight['auc']:.3f}"
        )
    shares = {key: value for key, value in summary["history"][-1].items() if key.startswith("trust_")}
    if len(shares) > 1:
        parts = (f"{key.removeprefix('trust_')} {value:.0%}" for key, value in shares.items())
        lines.append(f"  trust is made of {', '.join(parts)}")
    lines.append(f"  results, curves.png, SavedModel and TensorBoard logs in {workdir}")
    return "\n".join(lines)
