"""Losses for training sets whose classes differ much in size; each is a function of labels, logits and the step.

    losses = loss(labels, logits, step)

labels are class ids [n] or distributions [n, c], logits [n, c], the step is the number of optimizer steps done, and the
result is the loss of each example, [n]. They stand where a meta-learner takes a `loss`.
"""

from famus_tf.losses.class_weights import ClassWeighted, effective_number_weights
from famus_tf.losses.focal import Focal, SigmoidFocal
from famus_tf.losses.ldam import LDAM

__all__ = ["LDAM", "ClassWeighted", "Focal", "SigmoidFocal", "effective_number_weights"]
