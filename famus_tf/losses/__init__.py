"""Losses for wrong labels, unequal classes and semi-supervised training: functions of labels, logits, step.

    losses = loss(labels, logits, step)

labels are class ids [n] or distributions [n, c], logits [n, c], the step is the number of optimizer steps done, and the
result is the loss of each example, [n]. They stand where a meta-learner takes a `loss`.
"""

from famus_tf.losses.balanced_softmax import BalancedSoftmax
from famus_tf.losses.class_weights import ClassWeighted, effective_number_weights
from famus_tf.losses.cross_entropy import CrossEntropy
from famus_tf.losses.dividemix import SemiSupervised
from famus_tf.losses.focal import Focal, SigmoidFocal
from famus_tf.losses.ldam import LDAM
from famus_tf.losses.robust import (
    ActivePassive,
    Bootstrapping,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    SymmetricCrossEntropy,
)

__all__ = [
    "LDAM",
    "ActivePassive",
    "BalancedSoftmax",
    "Bootstrapping",
    "ClassWeighted",
    "CrossEntropy",
    "Focal",
    "GeneralizedCrossEntropy",
    "LabelSmoothing",
    "SemiSupervised",
    "SigmoidFocal",
    "SymmetricCrossEntropy",
    "effective_number_weights",
]
