"""Meta-learners, one file for each paper; `base` has what they have in common."""

from famus_tf.meta.learners.base import MetaLearner
from famus_tf.meta.learners.cmw_net import CMWNet
from famus_tf.meta.learners.cross_entropy import CrossEntropy
from famus_tf.meta.learners.jamal import Jamal
from famus_tf.meta.learners.l2r import L2R
from famus_tf.meta.learners.memory_weights import MemoryWeightNet
from famus_tf.meta.learners.mlc import MLC
from famus_tf.meta.learners.mw_net import MWNet
from famus_tf.meta.learners.soft_labels import SoftLabels

__all__ = ["L2R", "MLC", "CMWNet", "CrossEntropy", "Jamal", "MWNet", "MemoryWeightNet", "MetaLearner", "SoftLabels"]
