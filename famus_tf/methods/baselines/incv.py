"""Iterative cross-validation, INCV (Chen et al., "Understanding and Utilizing Deep Neural Networks Trained with Noisy
Labels", ICML 2019): what a network predicts that has not seen the label is selected, then co-teaching on the selection.

  S = {}, C = all; in each round split C into halves C_1, C_2:
    network k begins anew and trains on S + C_k; S_k' = {x of the other half: argmax p = y}               (k = 1, 2)
    in the first round: find eps, (1 - eps)^2 + eps^2 / (K - 1) = share of C that was selected
    symmetric noise: R_k = the min(2, eps / (1 - eps)) |S_k'| largest losses of that half are removed
    S <- S + S_1' + S_2', C <- C - S - R_1 - R_2
  both begin anew on batches of S: co-teaching that leaves out eps_S min(1, e / 10) of each,
    eps_S = eps^2 / (eps^2 + kappa (1 - eps)^2), kappa = K - 1 (symmetric) or 1
  later also min(|C| n / |S|, n / 2) candidates of C join each batch, of which as many losses as before are kept

Differences from the code: a round's two trainings are one, each network on its part, whose last epoch selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.meta import batches, example_table
from famus_tf.methods import base, cross_validation, one_network, restart, two_networks
from famus_tf.methods.baselines import co_teaching
from famus_tf.training import plan
from famus_tf.training.step import StepRecords

_FOLDS = "folds"


@keras.saving.register_keras_serializable("famus_tf")
class INCV(two_networks.TwoNetworks):
    """Two networks that select examples, for each other and for their batches.

    Args:
      networks, num_examples, rounds, round_epochs, symmetric: two, N, those of selection, whether the noise is.
      candidate_epochs: epochs of co-teaching before candidates join.
      steps_per_epoch, batch_size, seed: of the run.
    """

    draws_epochs = True

    def __init__(
        self,
        networks: Sequence[keras.Model],
        num_examples: int = 1,
        rounds: int = 4,
        round_epochs: int = 1,
        candidate_epochs: int = 40,
        symmetric: bool = True,
        steps_per_epoch: int = 1,
        batch_size: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(networks, **kwargs)
        self.num_examples, self.rounds, self.round_epochs = int(num_examples), int(rounds), int(round_epochs)
        self.candidate_epochs, self.symmetric, self.seed = int(candidate_epochs), bool(symmetric), int(seed)
        self.steps_per_epoch, self.batch_size = int(steps_per_epoch), int(batch_size)
        self._sets = example_table.ExampleTable(self.num_examples)  # the numbers of `cross_validation`
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self._noise = self.add_weight(name="noise", shape=(), initializer="zeros", **options)
        self._restart = restart.Restart(self.networks)

    def variant_of(self, step: int | None = None) -> str | None:
        """Rounds of selection have a graph of their own."""
        return _FOLDS if (step or 0) < self.rounds * self.round_epochs * self.steps_per_epoch else None

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Ends a round and begins the next, or co-teaching."""
        number, within = divmod(epoch, self.round_epochs)
        if within or number > self.rounds or not self.rounds:
            return
        sets = self._sets.numpy().astype(np.int64)
        if number:
            logits = [look.rows(network) for network in self.pair]
            known = float(self._noise.numpy())
            sets, noise = cross_validation.select(sets, logits, look.labels, known, number == 1, self.symmetric)
            self._noise.assign(noise)
        if number < self.rounds:
            sets = cross_validation.halves(sets, np.random.default_rng([self.seed, number]))
        self._sets.fill(sets)
        self._restart(self.optimizer)

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """Both parts in a round; then what was selected, and candidates."""
        del labels
        sets = self._sets.numpy()
        selected, candidates = sets == cross_validation.SELECTED, np.flatnonzero(sets == cross_validation.CANDIDATE)
        since = epoch - self.rounds * self.round_epochs
        if since < 0:
            first, second = (np.flatnonzero(selected | (sets == half)) for half in cross_validation.HALVES)
            return plan.Draw(first), plan.Draw(second)
        if not selected.any():
            return plan.Draw(), None
        devices = self.distribute_strategy.num_replicas_in_sync
        size = min(len(candidates) * self.batch_size // int(selected.sum()), self.batch_size // 2) // devices * devices
        joining = plan.Draw(candidates, size) if since >= self.candidate_epochs and size else None
        return plan.Draw(np.flatnonzero(selected)), joining

    def trust(self) -> np.ndarray | None:
        """1 for what is selected, 0 for what is removed, else 1/2; None before the first round has ended."""
        return cross_validation.trust(self._sets.numpy())

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step: each network on its own batch in a round, later co-teaching on both together."""
        batch, second = batches.unpack(data, with_meta and batches.is_pair(data))
        if second is not None and self.variant == _FOLDS:
            return self.step_apart(batch, second)
        if second is not None:
            batch = batches.Batch(*(tf.concat(pair, axis=0) for pair in zip(batch, second, strict=True)))
        return super().step(batch)

    def objective(
        self, labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Co-teaching's; of candidates too as many are kept as of the selection's examples alone."""
        size = tf.cast(tf.size(labels) * replicas.count(), rate.dtype)
        return co_teaching.exchanged(labels, first, second, 1.0 - (1.0 - rate) * self.batch_size / size)

    def _rate(self):
        since = self.rounds * self.round_epochs * self.steps_per_epoch
        step = self.step_number() - since
        return cross_validation.left_out(
            self._noise.value, step // self.steps_per_epoch, self.num_classes, self.symmetric
        )


def build(setting: base.Setting) -> INCV:
    """INCV from flags (`base.Setting`)."""
    flags, steps = setting.baselines, setting.steps_per_epoch
    starts = [number * flags.incv_round_epochs * steps for number in range(flags.incv_rounds + 1)]
    restart.in_rounds(setting.optimizer, starts, setting.total_steps)
    method = INCV(
        [setting.make_network(number) for number in range(2)],
        setting.num_examples,
        flags.incv_rounds,
        flags.incv_round_epochs,
        flags.incv_candidate_epochs,
        flags.incv_noise == "symmetric",
        steps,
        setting.optimization.batch_size,
        setting.seed,
        weight_decay=setting.optimization.weight_decay,
    )
    return one_network.compiled(method, setting)
