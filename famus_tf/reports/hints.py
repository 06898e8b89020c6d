"""What is wrong with a training, seen in its epochs: one sentence each, said once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

_FIRST_EPOCH = 3  # before it nothing is known
_ALIKE = 0.01  # of the mean weight
_SELECTED = 0.05  # layers in a step, on average over the epoch
_FALL = 0.02  # of the accuracy
_EPOCHS_SINCE_BEST = 3
_LOSS_LEFT = 0.7  # of what the meta loss was at the best epoch

Epochs = Sequence[Mapping[str, Any]]


def of(epochs: Epochs, weights: np.ndarray, trusted: bool = True) -> dict[str, str]:
    """What the last epoch gives reason to say.

    Args:
      epochs: of a history, one dict each; `validation_accuracy` where there is a validation set.
      weights: float [N], each example's weight when it was last seen, NaN before.
      trusted: whether somebody has looked at the labels of the meta set; by those that a network holds for right all
        examples may well weigh the same.

    Returns:
      {kind: sentence}.
    """
    found: dict[str, str] = {}
    if len(epochs) < _FIRST_EPOCH:
        return found
    last = epochs[-1]
    if trusted and "meta_loss" in last and _alike(weights):
        found["weights"] = (
            f"all examples have about the same weight, {np.nanmean(weights):.2f}: the meta-learner tells none of them "
            "apart. Longer training may, a larger option `meta_learning_rate`, or option `method`=memory_weight_net"
        )
    if "meta_loss" in last and last.get("selected_layers", 1.0) < _SELECTED:
        found["selection"] = (
            f"hardly any layer is selected, {last['selected_layers']:.2f} of a step on average: where none is, the "
            "meta-learner stays as it is. A smaller option `lambda_cost` selects more, option `selector`=all all"
        )
    return found | _of_validation(epochs)


def _alike(weights: np.ndarray) -> bool:
    seen = weights[~np.isnan(weights)]
    return len(seen) > 1 and float(seen.std()) <= _ALIKE * abs(float(seen.mean()))


def _of_validation(epochs: Epochs) -> dict[str, str]:
    accuracies = [epoch.get("validation_accuracy") for epoch in epochs]
    if None in accuracies:
        return {}
    best = int(np.argmax(accuracies))
    last, before = epochs[-1], epochs[best]
    fallen = accuracies[best] - accuracies[-1]
    if fallen < _FALL or len(epochs) - 1 - best < _EPOCHS_SINCE_BEST:
        return {}
    fall = f"the validation accuracy has fallen from {accuracies[best]:.1%} in epoch {before['epoch']} to "
    fall += f"{accuracies[-1]:.1%}"
    kept = f"the weights of epoch {before['epoch']} are kept"
    if last.get("meta_loss", np.inf) < _LOSS_LEFT * before.get("meta_loss", 0.0):
        return {"trusted": f"{fall} while the meta loss falls: the run overfits to the trusted set; {kept}"}
    if last.get("accuracy", 0.0) > before.get("accuracy", 1.0):
        return {
            "memorising": f"{fall} while that on the training set rises: wrong labels are being learnt by heart; {kept}"
        }
    return {}


class Hints(keras.callbacks.Callback):
    """Says each kind of hint once, after the epoch that gives reason to.

    Args:
      histories: list of (progress.Progress, name), one of each method; the name tells which, empty where there is one.
      say: takes sentences.
      trusted: as in `of`.
    """

    def __init__(
        self, histories: Iterable[tuple[Any, str]], say: Callable[[list[str]], None], trusted: bool = True
    ) -> None:
        super().__init__()
        self._trusted = trusted
        self._histories = list(histories)
        self._say = say
        self._said: set[tuple[str, str]] = set()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the epoch that has ended."""
        for progress, name in self._histories:
            for kind, sentence in of(progress.history, progress.example_weight, self._trusted).items():
                if (kind, name) not in self._said:
                    self._said.add((kind, name))
                    self._say([f"hint: {name}{': ' if name else ''}{sentence}"])
