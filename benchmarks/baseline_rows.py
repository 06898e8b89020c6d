"""The rows of the studies of all methods: which flags each has in a run of a few epochs, and the data of each study."""

# Data set of `studies.COMMON`, further flags, epochs of a run.
STUDIES = {
    "digits": {"symmetric_60": ([], 40)},
    "fashion_mnist": {
        "symmetric_60": (["--noise_rate=0.6"], 6),
        "asymmetric_40": (["--noise=asymmetric", "--noise_rate=0.4"], 6),
    },
    "cifar10n": {"worse_label": ([], 20)},
    "fashion_mnist_longtail": {"imbalance_100": ([], 20)},
}
# Stands for the run directory of cross-entropy with the same seed, at its own rate.
PLAIN_RUN = "RUN_OF_CROSS_ENTROPY"
PLAIN = "cross-entropy"
_NO_COURSE = ["--lr_schedule=constant", "--warmup_epochs=0"]
NOISY = tuple(
    (dataset, study) for dataset, found in STUDIES.items() for study in found if dataset != "fashion_mnist_longtail"
)


def rows(dataset: str, study: str) -> dict[str, list[str]]:
    """{label of a row: its flags}, without the learning rate.

    What a publication says in epochs of hundreds is taken as that share of the run. Other settings are published ones.

    Raises:
      KeyError: no such study.
    """
    data, epochs = STUDIES[dataset][study]
    made = _long_tail(epochs) if dataset == "fashion_mnist_longtail" else _noisy(epochs, study)
    return {label: [*data, *flags] for label, flags in made.items()}


def _noisy(epochs, study):
    asymmetric = study.startswith("asymmetric")
    share = _share(epochs)
    remembering = ["--method=memory_weight_net", "--schedule=one_loop", "--selector=agreement", "--lambda_g=0"]
    plain = ["--method=cross_entropy"]
    told = [f"--incv_noise={'asymmetric' if asymmetric else 'symmetric'}"]
    # Of CIFAR-10N nobody is told the rate: 0.4, what its authors print.
    forget = ["--forget_rate=0.4"] if study == "worse_label" else []
    elr = ["--elr_strength=1", "--elr_momentum=0.9"] if asymmetric else ["--elr_strength=3", "--elr_momentum=0.7"]
    return {
        "cross-entropy": plain,
        "label smoothing": [*plain, "--loss=label_smoothing"],
        "bootstrapping, hard": [*plain, "--loss=bootstrapping", "--bootstrap_share=0.8", "--bootstrap_hard"],
        "GCE": [*plain, "--loss=gce"],
        "SCE": [*plain, "--loss=sce"],
        "NCE + RCE": [*plain, "--loss=active_passive"],
        "MW-Net exact": ["--selector=all"],
        "MW-Net + FaMUS": [],
        "remembering": remembering,
        "L2R exact": ["--method=l2r", "--selector=all"],
        "MixUp": ["--method=mixup"],
        "MentorNet": ["--method=mentornet"],
        "MentorMix": ["--method=mentormix"],
        "Co-teaching": ["--method=co_teaching", *forget, f"--forget_epochs={share(0.05)}"],
        "JoCoR": ["--method=jocor", *forget, f"--forget_epochs={share(0.05)}"],
        "Decoupling": ["--method=decoupling"],
        "F-correction": ["--method=forward", f"--estimate_epochs={share(0.5)}"],
        "Gold loss correction": ["--method=gold_loss", f"--estimate_epochs={share(0.5)}"],
        "M-correction": ["--method=m_correction", f"--m_correction_epochs={share(0.35)}"],
        "D2L": ["--method=d2l", f"--d2l_epochs={max(0, share(0.3) - 5)}"],
        "INCV": ["--method=incv", *told, "--incv_rounds=2", f"--incv_round_epochs={share(0.2)}"],
        "ELR": ["--method=elr", *elr],
        "ELR plus": ["--method=elr_plus", *elr, f"--average_ramp_steps={epochs * 50}"],
        "PLS": ["--method=pls", f"--pls_epochs={share(0.15)}"],
        "SSR": ["--method=ssr"],
        "PES(semi)": ["--method=pes", f"--pes_epochs={share(0.25)}", f"--pes_head_epochs={share(0.05)}"],
    }


def _long_tail(epochs):
    plain = ["--method=cross_entropy"]
    late = round(0.8 * epochs)
    return {
        "cross-entropy": plain,
        "balanced softmax": [*plain, "--loss=balanced_softmax"],
        "CB-focal": [*plain, "--loss=class_balanced_focal"],
        "LDAM-DRW": [*plain, "--loss=ldam", f"--drw_epoch={late}"],
        "BBN": ["--method=bbn"],
        "cRT": ["--method=crt", f"--init_from={PLAIN_RUN}", f"--epochs={round(0.5 * epochs)}"],
        "tau-norm": ["--method=tau_norm", f"--init_from={PLAIN_RUN}", "--epochs=0", "--train_steps=1", *_NO_COURSE],
        "Jamal et al.": ["--method=jamal", f"--meta_from_epoch={late}"],
        "MW-Net exact": ["--selector=all"],
        "MW-Net + FaMUS": [],
    }


def _share(epochs):
    return lambda part: max(1, round(part * epochs))
