"""One training step on every replica, and what it returns."""

from typing import TypedDict

import numpy as np
import tensorflow as tf

from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing

# Records with an entry for each example, and those of which each replica has its share of the batch's value.
ROWS = ("index", "example_weight", "probability", "margin", "score")
SHARES = ("loss", "meta_loss")


class StepRecords(TypedDict, total=False):
    """What a method's `step` returns; the one place that names it. The first three are always there.

    Attributes:
      index: int64 [n], positions of the examples in the training set, -1 where nobody knows.
      example_weight: float32 [n], each example's weight in the loss; 1 is its weight in a plain mean.
      probability, margin: of `losses.given_label`, where the step has a given label for each example.
      score: float32 [n], the standardised meta score of each example, of a meta step (`meta.example_scores`).
      loss: what the step minimises, this replica's share of the batch's value.
      meta_loss: L_c of a meta step, this replica's share.
      gates: float32 [L] of 0 and 1, r of a meta step.
      lowest_layer: the lowest selected layer, 1..L, or L + 1 where no gate is on.
      meta_gradient: float32 [P], where the method is told to record it.
      repeatability: float32 [L], how far each layer's scores repeat, in a step that measures it.
    """

    index: tf.Tensor
    example_weight: tf.Tensor
    probability: tf.Tensor
    margin: tf.Tensor
    score: tf.Tensor
    loss: tf.Tensor
    meta_loss: tf.Tensor
    gates: tf.Tensor
    lowest_layer: tf.Tensor
    meta_gradient: tf.Tensor
    repeatability: tf.Tensor


def compile_step(strategy, method, jit_compile=False, prepare=None):
    """One step of `method` on every replica, as a `tf.function`.

    Args:
      strategy: a `tf.distribute.Strategy`.
      method: a compiled `methods.base.Method`, made in the strategy's scope.
      jit_compile: whether XLA compiles the step; for strategies of one replica.
      prepare: function of a replica's shares of both batches -> those that the method gets; None: as they are.

    Returns:
      Function of a training and a meta batch (None in a step without a meta update), and of the method's
      `variant_of` that step, for each of which it is traced anew -> (records, logs); records hold one tensor for each
      replica, or with several workers one that holds all replicas' records; logs are the first replica's running means.
    """

    def replica_step(training_batch, meta_batch):
        if prepare is not None:
            training_batch, meta_batch = prepare(training_batch, meta_batch)
        data = training_batch if meta_batch is None else (training_batch, meta_batch)
        records = method.step(data, with_meta=meta_batch is not None)
        records = sharing.complete_records(strategy, records, rows=ROWS, shares=SHARES)
        return records, method.get_metrics_result()

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def step(training_batch, meta_batch, variant=None):
        method.variant = variant  # not in the replica's function: replicas are traced in turns
        try:
            records, logs = strategy.run(replica_step, args=(training_batch, meta_batch))
        finally:
            method.variant = None
        kept = 1 if clusters.num_workers(strategy) > 1 else None
        records = {name: strategy.experimental_local_results(value)[:kept] for name, value in records.items()}
        return records, {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return step


def gather(records):
    """Joins the replicas' records: per-example rows one behind the other, losses summed, the rest is alike on all."""
    joined = {}
    for name, parts in records.items():
        values = [part.numpy() for part in parts]
        if name in ROWS:
            joined[name] = np.concatenate(values)
        elif name in SHARES:
            joined[name] = sum(values)
        else:
            joined[name] = values[0]
    return joined
