"""What happens to a batch of Algorithm 2 before a training step: targets are refined or guessed, rows are mixed.

MixMatch (Berthelot et al., "MixMatch: A Holistic Approach to Semi-Supervised Learning", NeurIPS 2019) as DivideMix has
it (Li et al., "DivideMix: Learning with Noisy Labels as Semi-supervised Learning", ICLR 2020). All of it runs on the
device, in a replica's context, and is a pure function of the batch, the networks and the seed, which is the same on all
replicas. Collectives may not stand in a `tf.cond`, and neither may `mix_up` and what calls it.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import dividemix, softmax


class Labelled(NamedTuple):
    """Examples whose given labels are believed, or are to be: a network's pseudo-clean set, and the meta set.

    Attributes:
      images: uint8 [n, 2, H, W, C], two augmented views of each.
      labels: int [n], the given class ids.
      clean_probability: float32 [n], how far each label is believed, in [0, 1].
      index: int64 [n], which example of the data set it is.
    """

    images: tf.Tensor
    labels: tf.Tensor
    clean_probability: tf.Tensor
    index: tf.Tensor


class Unlabelled(NamedTuple):
    """Examples whose labels are not looked at.

    Attributes:
      images: uint8 [n, 2, H, W, C], two augmented views of each.
      index: int64 [n], which example of the data set it is.
    """

    images: tf.Tensor
    index: tf.Tensor


class TrainingBatch(NamedTuple):
    """What a training step of one network is made of; each replica has its share.

    Attributes:
      labelled: `Labelled`.
      unlabelled: `Unlabelled`, as many.
      ramp: float32 scalar in [0, 1], the share of lambda_u that `ramp` has reached.
    """

    labelled: Labelled
    unlabelled: Unlabelled
    ramp: tf.Tensor


def sharpen(probabilities, temperature):
    """p^(1/T), normalised (MixMatch, Eq. 7): distributions [n, c] -> [n, c]; below 1, T makes them steeper.

    Raises:
      InputError: the temperature, a Python number, is not positive.
    """
    if temperature <= 0:
        raise errors.InputError(f"a temperature of {temperature} to sharpen with: expected more than 0")
    # The powers themselves would all be 0 at a small T. exp(-inf) is the 0 that a probability of 0 must stay.
    return tf.nn.softmax(tf.math.log(probabilities) / temperature)


def guess(probabilities, temperature):
    """Targets of unlabelled examples: the sharpened mean over networks and views (DivideMix, section 3.2).

    Args:
      probabilities: list of float [n, c], one for each network and view.
      temperature: T > 0, a Python number.

    Returns:
      float [n, c].
    """
    return sharpen(_mean(probabilities), temperature)


def refine(labels, clean_probability, probabilities, temperature):
    """Targets of labelled examples: sharpen(p y + (1 - p) mean over views) (DivideMix, section 3.2).

    Args:
      labels: int [n] class ids.
      clean_probability: float [n], the p above.
      probabilities: list of float [n, c], one for each view.
      temperature: T > 0, a Python number.

    Returns:
      float [n, c].
    """
    mean = _mean(probabilities)
    believed = tf.cast(clean_probability, mean.dtype)[:, tf.newaxis]
    one_hot = tf.one_hot(labels, mean.shape[1], dtype=mean.dtype)
    return sharpen(believed * one_hot + (1.0 - believed) * mean, temperature)


def mix_coefficient(alpha, seed):
    """The larger of lambda and 1 - lambda, lambda ~ Beta(alpha, alpha): float32 scalar in [0.5, 1].

    By |2 lambda - 1| = |t| / sqrt(2 alpha + t^2), t of Student's distribution with 2 alpha degrees of freedom, which
    has the closed form t^2 = 2 alpha (U^(-1/alpha) - 1) cos^2(2 pi V) (Bailey, "Polar generation of random variates
    with the t-distribution", Mathematics of Computation, 1994). `tf.random.stateless_gamma` has no kernel for XLA and
    does not let one choose its algorithm, which differs between devices.

    Args:
      alpha: more than 0, a Python number.
      seed: int [2]; the result is a pure function of it.

    Raises:
      InputError: alpha is not positive.
    """
    return _mix_coefficients(alpha, tf.unstack(tf.random.stateless_uniform([2], seed, alg="philox")))


def mix_coefficients(alpha, seed, count):
    """As many such coefficients as `count`, each drawn by itself, float32 [count]."""
    return _mix_coefficients(alpha, tf.unstack(tf.random.stateless_uniform([2, count], seed, alg="philox")))


def _mix_coefficients(alpha, uniform):
    if alpha <= 0:
        raise errors.InputError(f"a mix-up alpha of {alpha}: expected more than 0")
    u, v = uniform
    exponent = tf.math.log(u) / alpha
    far = -tf.math.expm1(exponent) * tf.square(tf.cos(2.0 * math.pi * v))  # U^(1/alpha) t^2 / (2 alpha)
    return 0.5 + 0.5 * tf.sqrt(tf.math.divide_no_nan(far, tf.exp(exponent) + far))


def mix_up(images, targets, coefficient, seed, blocks):
    """lambda x + (1 - lambda) x', x' the partner that a permutation of the global batch gives (MixMatch, Eq. 8-11).

    The global batch has all of its first block before all of its second, and within a block the rows of one replica
    before those of the next. So the result is the same however many replicas share the batch.

    Args:
      images: [n, H, W, C], uint8 or another type; this replica's rows, `blocks` blocks of equal size one behind the
        other, each with the replica's share of that block of the global batch.
      targets: float32 [n, c].
      coefficient: lambda, scalar, the same on all replicas.
      seed: int [2], the same on all replicas.
      blocks: number of blocks, such as the two views of two kinds of examples.

    Returns:
      Mixed images float32 [n, H, W, C] and mixed targets float32 [n, c].

    Raises:
      InputError: the rows are no whole number of blocks.
    """
    if images.shape[0] is not None and images.shape[0] % blocks:
        raise errors.InputError(f"{images.shape[0]} rows to mix in {blocks} blocks: expected blocks of equal size")
    return tuple(mixed(rows, partner_rows(rows, seed, blocks), coefficient) for rows in (images, targets))


def partner_rows(rows, seed, blocks=1):
    """The rows that `mix_up` mixes into these by the same seed and number of blocks, of the same shape and type."""
    partners = tf.gather(of_all_replicas(rows), _partners(tf.shape(rows)[0], seed, blocks))
    return tf.ensure_shape(partners, rows.shape)  # which gathering over replicas forgets


def mixed(rows, others, coefficient):
    """lambda rows + (1 - lambda) others, at least float32; lambda a scalar or one for each row [n]."""
    rows, others = softmax.at_least_float32(rows), softmax.at_least_float32(others)
    share = tf.cast(coefficient, rows.dtype)
    share = tf.reshape(share, [-1, *[1] * (rows.shape.rank - 1)]) if share.shape.rank else share
    return share * rows + (1.0 - share) * others


def training_batch(batch, predict, predict_of_peer, *, temperature, alpha, lambda_u, seed):
    """Makes what one network trains on in one step (DivideMix, section 3.2 and Algorithm 1).

    Labels are refined with the network's own predictions, and guessed with those of both networks.

    Args:
      batch: `TrainingBatch`.
      predict, predict_of_peer: functions of images [k, H, W, C] -> logits [k, c], of the network to be trained (in
        training mode in FaMUS's release) and of the other one (in inference mode). Each is called once.
      temperature: T > 0 of `sharpen`.
      alpha: of `mix_coefficient`.
      lambda_u: weight of the unlabelled examples behind the ramp.
      seed: int [2], the same on all replicas and another one in each step. `meta_batch` may have the same.

    Returns:
      Images float32 [4n, H, W, C], first view and second view of the labelled, then of the unlabelled examples, each
      mixed with others; `MixedLabels` of these rows, of which the first half counts as labelled, as the larger part of
      each is; index int64 [4n] of the larger part. No gradient passes.

    Raises:
      InputError: there are not as many labelled as unlabelled examples, or a number is out of its range.
    """
    labelled, unlabelled = batch.labelled, batch.unlabelled
    sizes = labelled.images.shape[0], unlabelled.images.shape[0]
    if None not in sizes and sizes[0] != sizes[1]:
        raise errors.InputError(
            f"{sizes[0]} labelled and {sizes[1]} unlabelled examples in a batch: expected as many of both"
        )
    seeds = _seeds(seed)
    images = tf.concat([_views(labelled.images), _views(unlabelled.images)], axis=0)
    first, second, *guesses = tf.split(_probabilities(predict, images), 4)
    guesses += tf.split(_probabilities(predict_of_peer, _views(unlabelled.images)), 2)
    refined = refine(labelled.labels, labelled.clean_probability, [first, second], temperature)
    guessed = guess(guesses, temperature)
    targets = tf.concat([refined, refined, guessed, guessed], axis=0)
    images, targets = mix_up(images, targets, mix_coefficient(alpha, seeds[0]), seeds[1], blocks=4)
    rows = tf.shape(images)[0]
    labels = dividemix.MixedLabels(
        targets, tf.range(rows) < rows // 2, tf.cast(lambda_u, tf.float32) * tf.cast(batch.ramp, tf.float32)
    )
    index = tf.concat([labelled.index, labelled.index, unlabelled.index, unlabelled.index], axis=0)
    return tf.nest.map_structure(tf.stop_gradient, (images, labels, index))


def meta_batch(batch, predict, *, temperature, alpha, seed):
    """Makes a meta batch: refined with the network's own predictions and mixed within itself, as in FaMUS's release.

    Args:
      batch: `Labelled` of m examples.
      predict, temperature, alpha, seed: as in `training_batch`.

    Returns:
      Images float32 [2m, H, W, C], first view, then second view; targets float32 [2m, c]; index int64 [2m] of the
      larger part of each row. No gradient passes.

    Raises:
      InputError: a number is out of its range.
    """
    seeds = _seeds(seed)
    images = _views(batch.images)
    views = tf.split(_probabilities(predict, images), 2)
    refined = refine(batch.labels, batch.clean_probability, views, temperature)
    targets = tf.concat([refined, refined], axis=0)
    images, targets = mix_up(images, targets, mix_coefficient(alpha, seeds[2]), seeds[3], blocks=2)
    return tf.nest.map_structure(tf.stop_gradient, (images, targets, tf.concat([batch.index] * 2, axis=0)))


def ramp(epochs_since, length):
    """Share of lambda_u that is reached, a float: linear from 0 to 1 (MixMatch, section 3.5; DivideMix's release).

    Args:
      epochs_since: epochs since the warm-up, whole or not.
      length: epochs from 0 to 1; 0 for 1 at once.

    Raises:
      InputError: the length is negative.
    """
    if length < 0:
        raise errors.InputError(f"a ramp of {length} epochs: expected 0 or more")
    return min(max(float(epochs_since / length), 0.0), 1.0) if length else 1.0


def _seeds(seed):
    """Four seeds, int [4, 2]: two for the training batch, two for the meta batch."""
    return tf.random.split(seed, 4, alg="philox")


def _views(images):
    """[n, 2, ...] -> [2n, ...], all first views before all second ones."""
    return tf.concat([images[:, 0], images[:, 1]], axis=0)


def _probabilities(network, images):
    return tf.nn.softmax(softmax.at_least_float32(network(images)))


def _mean(probabilities):
    return tf.add_n(probabilities) / len(probabilities)


def _partners(n, seed, blocks):
    """Where the partner of each of this replica's n rows stands in `of_all_replicas`, int32 [n]."""
    count = replicas.count()
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    drawn = tf.argsort(tf.random.stateless_uniform([n * count], seed, alg="philox"))
    share = n // blocks
    row = tf.range(n)
    partner = tf.gather(drawn, (row // share * count + replica) * share + row % share)
    block = partner // (share * count)
    replica = partner // share % count
    row = partner % share
    return replica * n + block * share + row


def of_all_replicas(rows):
    """[n, ...] -> [n * replicas, ...] of the same type, one replica's rows behind the other's."""
    if replicas.count() == 1 or rows.dtype != tf.uint8:
        return replicas.all_gather(rows)
    # The collective has no bytes: four of them travel as an int32.
    shape = rows.shape[1:]
    size = rows.shape[1:].num_elements()
    flat = tf.pad(tf.reshape(rows, [-1, size]), [[0, 0], [0, -size % 4]])
    words = tf.bitcast(tf.reshape(flat, [-1, (size + 3) // 4, 4]), tf.int32)
    flat = tf.bitcast(replicas.all_gather(words), tf.uint8)
    return tf.reshape(tf.reshape(flat, [-1, size + -size % 4])[:, :size], [-1, *shape])
