"""Losses for classes of very different sizes, and that of semi-supervised training: functions of labels, logits, step.

    losses = loss(labels, logits, step)

labels are class ids [n] or distributions [n, c], logits [n, c], the step is the number of optimizer steps done, and the
result is the loss of each example, [n]. They stand where a meta-learner takes a `loss`.
"""

from famus_tf.losses.class_weights import ClassWeighted, effective_number_weights
from famus_tf.losses.cross_entropy import CrossEntropy
from famus_tf.losses.dividemix import SemiSupervised
from famus_tf.losses.focal import Focal, SigmoidFocal
from famus_tf.losses.ldam import LDAM

__all__ = [
    "LDAM",
    "ClassWeighted",
    "CrossEntropy",
    "Focal",
    "SemiSupervised",
    "SigmoidFocal",
    "effective_number_weights",
]
