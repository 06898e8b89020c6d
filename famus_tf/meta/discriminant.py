"""The direction in which labels known to be right differ most from all labels."""

import itertools

import tensorflow as tf


def within_classes(values, classes, is_probe, is_known, num_classes, shrinkage):
    """Fisher's discriminant between probes and all other examples within the classes of their labels, a >= 0.

    Probes are examples that are trained on like all others and whose labels are known to be right. Within a class they
    are a fair sample of its right labels, whatever made the others wrong; over all classes they are not, where some
    classes have more wrong labels than others. So (Elkan and Noto, "Learning Classifiers from Only Positive and
    Unlabeled Data", KDD 2008) what tells them from the rest of their class tells right labels from wrong ones.

    With S the covariance of the others within classes and d the mean difference of the probes from them, over the
    classes by the others' sizes, it is the a >= 0 with the least

        a S a / 2 - d a + shrinkage / (2 P) |a - t 1|^2,   t = max(1 d, 0) / (1 S 1),

    which goes to equal parts where there are few probes.

    Args:
      values: float32 [N, F], high where a label is likely right.
      classes: int32 [N], the given labels.
      is_probe: bool [N].
      is_known: bool [N], which examples count.
      num_classes: c, a Python number.
      shrinkage: as if so many further probes said that all inputs count alike.

    Returns:
      float32 [F]; ones where nothing is known yet, or probes differ in no input to the right side.
    """
    inputs = values.shape[1]
    is_other = tf.logical_and(is_known, tf.logical_not(is_probe))
    # The classes of the others, those of the probes, and one for whatever does not count: one pass over the rows.
    groups = tf.where(is_known, classes + num_classes * tf.cast(is_probe, classes.dtype), 2 * num_classes)
    (count, probe_count), (mean, probe_mean) = (
        tf.split(part[:-1], 2) for part in _means(values, groups, 2 * num_classes + 1)
    )
    centred = (values - tf.gather(mean, classes)) * tf.cast(is_other, tf.float32)[:, tf.newaxis]
    covariance = tf.math.divide_no_nan(tf.matmul(centred, centred, transpose_a=True), tf.reduce_sum(count))
    weight = count * tf.cast(probe_count > 0, tf.float32)
    weight = tf.math.divide_no_nan(weight, tf.reduce_sum(weight))
    difference = tf.linalg.matvec(probe_mean - mean, weight, transpose_a=True)
    equal = tf.math.divide_no_nan(tf.maximum(tf.reduce_sum(difference), 0.0), tf.reduce_sum(covariance))
    penalty = tf.math.divide_no_nan(shrinkage, tf.reduce_sum(probe_count))
    # A little more keeps it soluble where an input is the same for all.
    matrix = covariance + (penalty + 1e-6) * tf.eye(inputs)
    found = _least(matrix, difference + penalty * equal)
    return tf.where(tf.reduce_sum(found) > 0, found, tf.ones([inputs]))


def _means(values, groups, count):
    """Sizes [count] and means [count, F] of groups of rows."""
    ones = tf.ones([tf.shape(values)[0], 1])
    total = tf.math.unsorted_segment_sum(tf.concat([values, ones], 1), groups, count)
    return total[:, -1], tf.math.divide_no_nan(total[:, :-1], total[:, -1:])


def _least(matrix, vector):
    """The a >= 0 with the least a A a / 2 - b a, for a positive definite A of a few rows: the best of all faces."""
    size = vector.shape[0]
    faces = tf.constant(list(itertools.product((0.0, 1.0), repeat=size)))  # [2^F, F], which numbers are not 0
    masked = faces[:, :, tf.newaxis] * faces[:, tf.newaxis, :] * matrix + tf.linalg.diag(1.0 - faces)
    solutions = tf.linalg.solve(masked, (faces * vector)[:, :, tf.newaxis])[:, :, 0]
    values = 0.5 * tf.einsum("kf,fg,kg->k", solutions, matrix, solutions) - tf.linalg.matvec(solutions, vector)
    is_feasible = tf.reduce_all(solutions >= 0.0, axis=1)
    return tf.gather(solutions, tf.argmin(tf.where(is_feasible, values, float("inf"))))
