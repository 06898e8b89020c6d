"""Class-aware Meta-Weight-Net: one weighting of losses for each family of class sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import sklearn.cluster
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.meta.learners import mw_net


@keras.saving.register_keras_serializable("famus_tf")
class CMWNet(mw_net.MWNet):
    """CMW-Net (Shu et al., TPAMI 2023): V_i = Psi_k(loss_i; theta), k the family of its class by the class's size.

    Psi is MW-Net's, 1 - `hidden` - K, with an output for each family. Families are the K clusters of the class sizes by
    k-means, as in the paper (section 3.3): classes of about one size share a weighting.

    Args:
      class_sizes: number of training examples of each class by the given labels, [c].
      families: K; 3 in the paper. Fewer where there are fewer sizes.
      hidden, normalize, weight_decay, seed, loss: as in `MWNet`.

    Raises:
      InputError: there are no classes, a size is negative, or K is no positive whole number.
    """

    def __init__(self, class_sizes: Sequence[int], families: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        text = f"class_sizes={class_sizes!r}"
        for size in class_sizes if isinstance(class_sizes, list | tuple | np.ndarray) and len(class_sizes) else [None]:
            errors.check_number(
                text, size, "a number of examples, 0 or more, by class", lambda n: n >= 0 and n % 1 == 0
            )
        sizes = np.asarray(class_sizes, np.float64)
        errors.check_number("families", families, "a positive whole number", lambda count: count > 0, whole=True)
        self.class_sizes = [int(size) for size in sizes]
        self.families = int(families)
        self.num_classes = len(self.class_sizes)
        self.family_of_class = families_of(sizes, families)

    def create_variables(self) -> None:
        """Makes theta, and keeps with it which family each class is of: its outputs mean nothing without."""
        start = keras.initializers.Constant(self.family_of_class)
        shape = (len(self.family_of_class),)
        self._families = self.add_weight(
            name="families", shape=shape, dtype="int32", initializer=start, trainable=False
        )
        super().create_variables()

    @property
    def outputs(self) -> int:
        """Number of outputs of Psi, that of the families that there are."""
        return int(self.family_of_class.max()) + 1

    def weigh_examples(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """V_i of the family of each example's label, float [n]; of a distribution, the mean over its classes."""
        values = self.weigh_by_family(tf.stop_gradient(self.weighed_by(logits, labels, step)), theta)
        targets = softmax.as_distributions(getattr(labels, "targets", labels), logits)
        family = tf.one_hot(self._families.value, self.outputs, dtype=values.dtype)
        return tf.reduce_sum(values * tf.matmul(tf.cast(targets, values.dtype), family), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"class_sizes": self.class_sizes, "families": self.families}


def families_of(sizes: np.ndarray, count: int) -> np.ndarray:
    """The family of each class, int32 [c], 0 that of the smallest classes; `sizes` float [c], at most `count`."""
    count = min(count, len(np.unique(sizes)))
    found = sklearn.cluster.KMeans(count, n_init=10, random_state=0).fit(sizes[:, np.newaxis])
    order = np.argsort(found.cluster_centers_[:, 0])
    return np.argsort(order)[found.labels_].astype(np.int32)
