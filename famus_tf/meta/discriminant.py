"""The direction in which labels known to be right differ most from all labels."""

import itertools

import tensorflow as tf

from famus_tf.meta import moments


def within_classes(others: moments.Moments, probes: moments.Moments, scale: tf.Tensor, shrinkage: float) -> tf.Tensor:
    """Fisher's discriminant between probes and all other examples within the classes of their labels, a >= 0.

    Probes are examples that are trained on like all others and whose labels are known to be right. Within a class they
    are a fair sample of its right labels, whatever made the others wrong; over all classes they are not, where some
    classes have more wrong labels than others. So (Elkan and Noto, "Learning Classifiers from Only Positive and
    Unlabeled Data", KDD 2008) what tells them from the rest of their class tells right labels from wrong ones.

    With S the covariance of the others within classes and d the mean difference of the probes from them, over the
    classes by the others' sizes, it is the a >= 0 with the least

        a S a / 2 - d a + shrinkage / (2 P) |a - t 1|^2,   t^2 = (d S^-1 d) / (1 S 1),

    P the probes that count. It goes to equal parts where there are few probes: t 1 is as long, by S, as S^-1 d, so that
    a difference that is nothing but chance does not choose an input by its sign.

    Args:
      others, probes: `moments.Moments` of the examples of each class, float64, c groups each.
      scale: float64 [F], by which the inputs are to be multiplied to be alike in size, and high where a label is likely
        right.
      shrinkage: as if so many further probes said that all inputs count alike.

    Returns:
      float64 [F]; ones where nothing is known yet.
    """
    centres = others.means()
    covariance = others.covariance(centres) * scale * scale[:, tf.newaxis]
    weight = others.count * tf.cast(probes.count > 0, others.count.dtype)
    weight = tf.math.divide_no_nan(weight, tf.reduce_sum(weight))
    difference = tf.linalg.matvec(probes.means() - centres, weight, transpose_a=True) * scale
    # A little more keeps it soluble where an input is the same for all.
    little = 1e-6 * tf.eye(scale.shape[0], dtype=scale.dtype)
    whole = tf.linalg.solve(covariance + little, difference[:, tf.newaxis])[:, 0]
    length = tf.maximum(tf.tensordot(difference, whole, 1), 0.0)
    equal = tf.sqrt(tf.math.divide_no_nan(length, tf.reduce_sum(covariance)))
    penalty = tf.math.divide_no_nan(tf.cast(shrinkage, scale.dtype), tf.reduce_sum(probes.count))
    matrix = covariance + little + penalty * tf.eye(scale.shape[0], dtype=scale.dtype)
    found = _least(matrix, difference + penalty * equal)
    return tf.where(tf.reduce_sum(found) > 0, found, tf.ones_like(found))


def _least(matrix, vector):
    """The a >= 0 with the least a A a / 2 - b a, for a positive definite A of a few rows: the best of all faces."""
    size = vector.shape[0]
    # [2^F, F], which numbers are not 0.
    faces = tf.constant(list(itertools.product((0.0, 1.0), repeat=size)), matrix.dtype)
    masked = faces[:, :, tf.newaxis] * faces[:, tf.newaxis, :] * matrix + tf.linalg.diag(1.0 - faces)
    solutions = tf.linalg.solve(masked, (faces * vector)[:, :, tf.newaxis])[:, :, 0]
    values = 0.5 * tf.einsum("kf,fg,kg->k", solutions, matrix, solutions) - tf.linalg.matvec(solutions, vector)
    is_feasible = tf.reduce_all(solutions >= 0.0, axis=1)
    return tf.gather(solutions, tf.argmin(tf.where(is_feasible, values, tf.constant(float("inf"), matrix.dtype))))
