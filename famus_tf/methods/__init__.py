"""Ways of training, one file each; `BY_NAME` has those of option `method`.

`BY_NAME` has functions of a `base.Setting` -> a compiled `base.Method`.
"""

from famus_tf.methods import meta_learned
from famus_tf.methods.baselines import (
    bbn,
    co_teaching,
    crt,
    d2l,
    decoupling,
    elr,
    elr_plus,
    forward,
    gold_loss,
    incv,
    jocor,
    m_correction,
    mentormix,
    mentornet,
    mixup,
    pes,
    pls,
    ssr,
    tau_norm,
)

BY_NAME = {
    "cross_entropy": meta_learned.cross_entropy,
    "mw_net": meta_learned.mw_net,
    "cmw_net": meta_learned.cmw_net,
    "l2r": meta_learned.l2r,
    "jamal": meta_learned.jamal,
    "mlc": meta_learned.mlc,
    "soft_labels": meta_learned.soft_labels,
    "memory_weight_net": meta_learned.memory_weight_net,
    "running_score": meta_learned.running_score,
    "running_probability": meta_learned.running_probability,
    "co_teaching": co_teaching.build,
    "jocor": jocor.build,
    "decoupling": decoupling.build,
    "mixup": mixup.build,
    "mentornet": mentornet.build,
    "mentormix": mentormix.build,
    "forward": forward.build,
    "gold_loss": gold_loss.build,
    "m_correction": m_correction.build,
    "d2l": d2l.build,
    "incv": incv.build,
    "bbn": bbn.build,
    "crt": crt.build,
    "tau_norm": tau_norm.build,
    "elr": elr.build,
    "elr_plus": elr_plus.build,
    "pls": pls.build,
    "ssr": ssr.build,
    "pes": pes.build,
}
