"""What methods and selectors are called in a table, by the values of the flags."""

METHODS = {
    "cross_entropy": "cross-entropy",
    "mw_net": "MW-Net",
    "l2r": "L2R",
    "mlc": "MLC",
    "co_teaching": "Co-teaching",
    "jocor": "JoCoR",
    "jamal": "Jamal et al.",
    "mixup": "MixUp",
    "mentornet": "MentorNet",
    "mentormix": "MentorMix",
    "decoupling": "Decoupling",
    "forward": "F-correction",
    "gold_loss": "Gold loss correction",
    "m_correction": "M-correction",
    "d2l": "D2L",
    "incv": "INCV",
    "bbn": "BBN",
    "elr": "ELR",
    "elr_plus": "ELR+",
    "pls": "PLS",
    "ssr": "SSR",
    "pes": "PES(semi)",
}
SELECTORS = {
    "all": ", all layers",
    "sampler": " + FaMUS",
    "random": ", random layers",
    "block": ", fixed block",
    "agreement": ", agreement",
}
