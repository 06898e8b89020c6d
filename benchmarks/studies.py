"""The runs behind the tables of docs/results.md: for each data set and study, a name and the flags of each row.

The first part of a name's flags is the data set's flag file, flags/<data set>.cfg, with what COMMON adds to it. Rows
that name no method are Meta-Weight-Net.
"""

COMMON = {
    "digits": ["--method=mw_net"],
    "fashion_mnist": ["--method=mw_net", "--train_limit=10000"],
    "fashion_mnist_longtail": [],
    "fashion_mnist_pseudo_clean": [],
    # What fits 2 cores: 10,000 images and a small network without augmentation, 4,000 steps of 50.
    "cifar10n": [
        "--method=mw_net",
        "--train_limit=10000",
        "--network=small_preact",
        "--train_steps=0",
        "--epochs=20",
        "--batch_size=50",
        "--meta_batch_size=50",
        "--base_learning_rate=0.1",
        "--lr_schedule=cosine",
        "--lr_boundaries=",
        "--nonesterov",
        "--augment=none",
        "--meta_optimizer=adam",
        "--meta_weight_decay=1e-4",
    ],
}

_POLICIES = {
    "cross-entropy": ["--method=cross_entropy"],
    "cross-entropy, mixed_bfloat16": ["--method=cross_entropy", "--dtype_policy=mixed_bfloat16"],
    "MW-Net exact": ["--selector=all"],
    "MW-Net exact, mixed_bfloat16": ["--selector=all", "--dtype_policy=mixed_bfloat16"],
    "FaMUS": [],
    "FaMUS, mixed_bfloat16": ["--dtype_policy=mixed_bfloat16"],
}

# No trusted label. Epochs of 200 steps of 50 images; of Algorithm 2 as many as 25 go into a pseudo-clean set, by two
# networks. Cross-entropy is one network, as its peer in the simple form.
_ONE = ["--algorithm=single", "--batch_size=50", "--meta_batch_size=50"]
_PSEUDO_CLEAN = {
    "cross-entropy": [*_ONE, "--meta_set=clean", "--meta_from_epoch=0", "--method=cross_entropy"],
    "pseudo-clean MW-Net exact": [*_ONE, "--selector=all"],
    "pseudo-clean MW-Net + FaMUS": _ONE,
    "DivideMix": ["--method=cross_entropy"],
    "Algorithm 2 + FaMUS": [],
}

# What is learnt of wrong labels and what is remembered. "probes too": trained on the 400 trusted images too that
# memory_weight_net trains on.
_PROBES = ["--probe_share=0.4"]
_LAST_BLOCK = ["--selector=block", "--block=-2", "--lambda_g=0"]
_CLASSIFIER = ["--selector=block", "--block=-1", "--lambda_g=0"]
_AGREEMENT = ["--selector=agreement"]
_SCORE = ["--method=running_score", "--schedule=three_stage"]


def _memory(quarter, *noise):
    """The rows of a study of what is remembered; `quarter` of the training batch is the meta batch in one loop."""
    remembering = ["--method=memory_weight_net", "--schedule=one_loop", f"--meta_batch_size={quarter}"]
    rows = {
        "cross-entropy": ["--method=cross_entropy"],
        "MW-Net exact": ["--selector=all"],
        "FaMUS, the paper's gates": ["--selection_objective=paper"],
        "FaMUS": [],
        "MW-Net, last block": _LAST_BLOCK,
        "MW-Net, classifier": _CLASSIFIER,
        "MW-Net, agreement": _AGREEMENT,
        "running p": ["--method=running_probability"],
        "running p + score": [*_SCORE, *_AGREEMENT],
        "running p + score, validation momentum": [*_SCORE, *_AGREEMENT, "--validation_momentum=0.9"],
        "remembering, last block": [*remembering, *_LAST_BLOCK],
        "remembering, classifier": [*remembering, *_CLASSIFIER],
        "remembering, agreement": [*remembering, *_AGREEMENT],
        "remembering, agreement, validation momentum": [*remembering, *_AGREEMENT, "--validation_momentum=0.9"],
        "remembering, all layers": [*remembering, "--selector=all"],
        "cross-entropy, probes too": ["--method=cross_entropy", *_PROBES],
        "MW-Net exact, probes too": ["--selector=all", *_PROBES],
        "running p, probes too": ["--method=running_probability", *_PROBES],
        "running p + score, probes too": [*_SCORE, *_AGREEMENT, *_PROBES],
        "CMW-Net": ["--method=cmw_net", "--selector=all"],
        "soft labels": ["--method=soft_labels", "--selector=all"],
    }
    return {name: [*noise, *flags] for name, flags in rows.items()}


# Without trusted labels, two networks.
_PAIR = [
    "--meta_set=pseudo_clean",
    "--algorithm=co_divide",
    "--meta_per_class=0",
    "--meta_from_epoch=3",
    "--temperature=0.5",
    "--mixup_alpha=4",
    "--lambda_u=10",
    "--lambda_u_ramp_epochs=10",
    "--batch_size=25",
    "--meta_batch_size=25",
    "--base_learning_rate=0.05",
]


def _memory_and_pairs(noise, pair):
    """The same on CIFAR-10, and the two networks; `pair`: their further flags."""
    two = {"DivideMix": [*_PAIR, *pair, "--method=cross_entropy"], "Algorithm 2 + FaMUS": [*_PAIR, *pair]}
    return _memory(12, *noise) | {name: [*noise, *flags] for name, flags in two.items()}


def _with_noise(*flags):
    return {name: [*flags, *others] for name, others in _PSEUDO_CLEAN.items()}


_ASYMMETRIC = ["--noise=asymmetric", "--noise_rate=0.4"]
_ASYMMETRIC_PAIR = ["--lambda_u=0", "--confidence_penalty=1"]

STUDIES = {
    # 60% of the labels redrawn; 64 + 64 images per step.
    "digits": {
        "methods": {
            "cross-entropy": ["--method=cross_entropy"],
            "MW-Net exact": ["--selector=all"],
            "FaMUS, lambda_cost 0": ["--lambda_cost=0"],
            "FaMUS": [],
            "random 4 layers": ["--selector=random", "--expected_layers=4"],
            "fixed last block": ["--selector=block", "--block=-2"],
            "classifier only": ["--selector=block", "--block=-1"],
            "one-loop exact": ["--schedule=one_loop", "--selector=all"],
            "one-loop FaMUS": ["--schedule=one_loop"],
            "one-loop FaMUS, quarter meta batch": ["--schedule=one_loop", "--meta_batch_size=16"],
            "one-loop FaMUS, every 4th step": ["--schedule=one_loop", "--meta_every=4", "--meta_learning_rate=4e-3"],
            "L2R exact": ["--method=l2r", "--selector=all"],
            "L2R + FaMUS": ["--method=l2r"],
            # beta of 0.11, the authors', changes nothing here: tried on seed 0 were 0.11, 0.5, 5, 50, 200 and 1000.
            "MLC exact": ["--method=mlc", "--selector=all", "--meta_learning_rate=200"],
            "MLC + FaMUS": ["--method=mlc", "--meta_learning_rate=200"],
        },
        "lambda_cost": {
            "cross-entropy": ["--method=cross_entropy"],
            "lambda_cost 0": ["--lambda_cost=0"],
            "lambda_cost 0.02": ["--lambda_cost=0.02"],
            "lambda_cost 0.05": ["--lambda_cost=0.05"],
            "lambda_cost 0.1": ["--lambda_cost=0.1"],
            "lambda_cost 0.2": ["--lambda_cost=0.2"],
            "lambda_cost 0.5": ["--lambda_cost=0.5"],
        },
        "dtype_policy": _POLICIES,
        # tau is the rate at which labels are redrawn, 0.6; 54% are wrong.
        "two_networks": {
            "cross-entropy": ["--method=cross_entropy"],
            "Co-teaching": ["--method=co_teaching"],
            "JoCoR": ["--method=jocor"],
            "JoCoR, c = 0.9": ["--method=jocor", "--joint_weight=0.9"],
        },
        "memory": _memory(16),
        # No digit is customarily taken for another; here each is for the next.
        "memory_pairflip_40": _memory(16, "--noise=pairflip", "--noise_rate=0.4"),
        # Right labels, 128 images of the largest class, 6 of the smallest.
        "longtail": {
            name: ["--noise=none", "--noise_rate=0", "--imbalance=20", "--warmup_epochs=1", *flags]
            for name, flags in {
                "cross-entropy": ["--method=cross_entropy"],
                "CB-focal": ["--method=cross_entropy", "--loss=class_balanced_focal"],
                "LDAM-DRW": ["--method=cross_entropy", "--loss=ldam", "--drw_epoch=32"],
                "MW-Net exact": ["--selector=all"],
                "MW-Net, first block": ["--selector=block", "--block=1"],
            }.items()
        },
    },
    # 40% of the labels redrawn; 100 + 100 images per step.
    "fashion_mnist": {
        "methods": {
            "cross-entropy": ["--method=cross_entropy"],
            "MW-Net exact": ["--selector=all"],
            "FaMUS": [],
            "fixed last block": ["--selector=block", "--block=-2"],
            "one-loop FaMUS": ["--schedule=one_loop"],
            "one-loop FaMUS, quarter meta batch": ["--schedule=one_loop", "--meta_batch_size=25"],
            "one-loop FaMUS, every 4th step": ["--schedule=one_loop", "--meta_every=4", "--meta_learning_rate=4e-3"],
        },
        "lambda_cost": {
            "cross-entropy": ["--method=cross_entropy"],
            "lambda_cost 0": ["--lambda_cost=0"],
            "lambda_cost 0.05": ["--lambda_cost=0.05"],
            "lambda_cost 0.2": ["--lambda_cost=0.2"],
            "lambda_cost 0.5": ["--lambda_cost=0.5"],
        },
        "memory": _memory(25),
        "memory_asymmetric_40": _memory(25, *_ASYMMETRIC),
        "memory_asymmetric_20": _memory(25, "--noise=asymmetric", "--noise_rate=0.2"),
        "dtype_policy": _POLICIES,
    },
    # 5,990 images of the largest class, 59 of the smallest; the weights by class begin at four fifths, as LDAM's do.
    "fashion_mnist_longtail": {
        "methods": {
            "cross-entropy": ["--method=cross_entropy"],
            "focal": ["--method=cross_entropy", "--loss=focal"],
            "CB-focal": ["--method=cross_entropy", "--loss=class_balanced_focal"],
            "CB-focal, sigmoid": ["--method=cross_entropy", "--loss=class_balanced_focal", "--focal_form=sigmoid"],
            "LDAM-DRW": ["--method=cross_entropy", "--loss=ldam", "--drw_epoch=16"],
            "MW-Net exact, CE": ["--selector=all"],
            "MW-Net, first block, CE": ["--selector=block", "--block=1"],
            "MW-Net + FaMUS, CE": [],
            "MW-Net + FaMUS, LDAM": ["--loss=ldam"],
        },
    },
    # 10,000 images, whose labels nobody vouches for.
    "fashion_mnist_pseudo_clean": {
        "symmetric_40": _with_noise("--noise_rate=0.4"),
        "symmetric_60": _with_noise("--noise_rate=0.6"),
        # What keeps plain training from learning wrong labels by heart is no help to Algorithm 2 in so few steps.
        "symmetric_60_crop_flip": {
            row: [*_PSEUDO_CLEAN[row], "--noise_rate=0.6", "--augment=crop_flip"]
            for row in ("cross-entropy", "Algorithm 2 + FaMUS")
        },
        # What the noise of the sampled meta gradient costs.
        "symmetric_60_meta_step": {
            "Algorithm 2 exact": ["--noise_rate=0.6", "--selector=all"],
            "Algorithm 2 + FaMUS, meta_learning_rate 1e-4": ["--noise_rate=0.6", "--meta_learning_rate=1e-4"],
            "Algorithm 2, agreement": ["--noise_rate=0.6", *_AGREEMENT],
            "Algorithm 2, last block": ["--noise_rate=0.6", *_LAST_BLOCK],
        },
        # No image tells what to believe of what is remembered.
        "symmetric_60_memory": {"remembering": [*_ONE, "--noise_rate=0.6", "--method=memory_weight_net"]},
        "asymmetric_40": _with_noise(*_ASYMMETRIC, *_ASYMMETRIC_PAIR),
    },
    # The first: human labels.
    "cifar10n": {
        "worse_label": _memory_and_pairs([], []),
        "symmetric_60": _memory_and_pairs(
            ["--noise=symmetric", "--noise_file=", "--noise_key=", "--noise_rate=0.6", "--noise_includes_true_label"],
            [],
        ),
        "asymmetric_40": _memory_and_pairs(["--noise_file=", "--noise_key=", *_ASYMMETRIC], _ASYMMETRIC_PAIR),
    },
}
