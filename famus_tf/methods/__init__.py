"""Ways of training, one file each; `BY_NAME` has those of option `method`.

`BY_NAME` has functions of a `base.Setting` -> a compiled `base.Method`.
"""

from famus_tf.methods import meta_learned
from famus_tf.methods.baselines import co_teaching, jocor

BY_NAME = {
    "cross_entropy": meta_learned.cross_entropy,
    "mw_net": meta_learned.mw_net,
    "cmw_net": meta_learned.cmw_net,
    "l2r": meta_learned.l2r,
    "mlc": meta_learned.mlc,
    "soft_labels": meta_learned.soft_labels,
    "memory_weight_net": meta_learned.memory_weight_net,
    "running_score": meta_learned.running_score,
    "running_probability": meta_learned.running_probability,
    "co_teaching": co_teaching.build,
    "jocor": jocor.build,
}
