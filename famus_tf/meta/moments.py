"""Sums over the examples of groups, from which means and covariances follow."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Moments(NamedTuple):
    """Of G groups of examples x [F] each.

    Attributes:
      count: [G], numbers of examples.
      total: [G, F], sums of x.
      products: [G, F, F], sums of x x'.
    """

    count: tf.Tensor
    total: tf.Tensor
    products: tf.Tensor

    def means(self) -> tf.Tensor:
        """The mean of each group, [G, F]; 0 where it is empty."""
        return tf.math.divide_no_nan(self.total, self.count[:, tf.newaxis])

    def drawn_means(self, others: float) -> tf.Tensor:
        """The mean of each group, [G, F], as if `others` further examples of it had the mean of all."""
        mean = tf.math.divide_no_nan(tf.reduce_sum(self.total, axis=0), tf.reduce_sum(self.count))
        return (self.total + others * mean) / (self.count + others)[:, tf.newaxis]

    def covariance(self, centres: tf.Tensor) -> tf.Tensor:
        """The mean of (x - c)(x - c)' over all examples, [F, F], c [G, F] the centre of each group; 0 without any."""
        mixed = tf.matmul(centres, self.total, transpose_a=True)
        squares = tf.matmul(centres * self.count[:, tf.newaxis], centres, transpose_a=True)
        about = tf.reduce_sum(self.products, axis=0) - mixed - tf.transpose(mixed) + squares
        return tf.math.divide_no_nan(about, tf.reduce_sum(self.count))

    def merged(self, groups: int) -> Moments:
        """Of `groups` groups, the k-th of which has all examples of those whose number modulo `groups` is k."""
        return Moments(*(tf.reduce_sum(tf.reshape(part, [-1, groups, *part.shape[1:]]), axis=0) for part in self))

    def part(self, start: int, end: int) -> Moments:
        """Of the groups from `start` to `end` - 1."""
        return Moments(*(one[start:end] for one in self))


def width(inputs: int) -> int:
    """Columns of `sums` for F inputs."""
    return 1 + inputs + inputs**2


def sums(values: tf.Tensor, counts: tf.Tensor, groups: tf.Tensor, num_groups: int) -> tf.Tensor:
    """The sums of 1, x and x x', float64 [G, 1 + F + F^2].

    Args:
      values: float [n, F], x.
      counts: bool [n], which examples count.
      groups: int32 [n].
      num_groups: G.
    """
    values = tf.cast(values, tf.float64)
    products = tf.reshape(values[:, :, tf.newaxis] * values[:, tf.newaxis, :], [-1, values.shape[1] ** 2])
    rows = tf.concat([tf.ones_like(values[:, :1]), values, products], axis=1)
    return tf.math.unsorted_segment_sum(rows * tf.cast(counts, tf.float64)[:, tf.newaxis], groups, num_groups)


def unpack(packed: tf.Tensor, inputs: int) -> Moments:
    """What `sums` packed, for F inputs."""
    count, total, products = tf.split(packed, [1, inputs, inputs**2], axis=1)
    return Moments(count[:, 0], total, tf.reshape(products, [-1, inputs, inputs]))
