"""The rules between flags; what each flag alone may be stands with its field.

Every rule that the flags alone decide is here, and is answered before TensorFlow is loaded. What depends on the data or
the devices is answered where these are known.
"""

import dataclasses

from famus_tf.config import automatic
from famus_tf.config import text as flag_text
from famus_tf.config.data import OWN_IMAGES
from famus_tf.config.method import METHODS
from famus_tf.errors import InputError

# Names known to modules that load NumPy or TensorFlow; a test holds them equal.
PRETRAINED_NETWORKS = ("resnet50", "inception_resnet_v2")
PUBLISHED_NOISE = ("none", "symmetric", "flip", "flip2", "hierarchical")
NOISE_FILES = (".json", ".npy", ".pt")
# Flags of the data that some data sets alone read, and those sets.
_READ_BY = {
    **dict.fromkeys(("train_list", "test_list", "meta_list", "validation_list"), ("list",)),
    **dict.fromkeys(("other_test_lists", "list_separator", "list_labels"), ("list",)),
    **dict.fromkeys(("train_on_held_out", "near_duplicates"), OWN_IMAGES),
    **dict.fromkeys(("ilsvrc_dir", "webvision_classes"), ("webvision",)),
    **dict.fromkeys(("web_noise", "web_noise_rate", "clean_by"), ("cnwl",)),
}
# Modes that look at the data alone.
_WITHOUT_TRAINING = ("inspect", "prepare")


def check(config) -> None:
    """Raises InputError at the first rule that a `config.Config` breaks.

    --mode=predict needs to know the export alone, and so no flag of a training.
    """
    if config.run.mode == "predict":
        if not config.report.images:
            raise InputError("--mode=predict without --images: expected a folder of images or a list of their paths")
        return
    for rule in _RULES:
        rule(config)


def _run(config) -> None:
    flags = config.run
    if flags.network.endswith(".keras") and flags.dtype_policy == "mixed_bfloat16":
        raise InputError(
            f"--dtype_policy=mixed_bfloat16 with --network={flags.network}: expected float32 or auto, which leave "
            "its layers the policies saved with them"
        )
    if flags.pretrained != "none" and flags.network not in PRETRAINED_NETWORKS:
        raise InputError(
            f"--pretrained={flags.pretrained} with --network={flags.network}: expected none, or one of the networks "
            f"{', '.join(PRETRAINED_NETWORKS)}"
        )
    if flags.init_from and flags.pretrained != "none":
        raise InputError(f"--init_from={flags.init_from} with --pretrained={flags.pretrained}: expected one of them")
    folds = config.report.report_folds
    if flags.init_from and folds:
        raise InputError(
            f"--report_folds={folds} with --init_from={flags.init_from}, whose network may have seen all labels, while "
            "networks without it would be trained for too short: expected --report_folds=0"
        )
    if flags.log_meta_gradient and config.method.method in ("l2r", "jamal"):
        raise InputError(
            f"--log_meta_gradient with --method={config.method.method}, whose theta belongs to the batch of one step: "
            "expected false"
        )


def _noise(config) -> None:
    flags = config.data
    # A rate without a kind of noise would train on clean labels and report it as robustness.
    if flags.noise == "none" and flags.noise_rate > 0:
        raise InputError(
            f"--noise_rate={flags.noise_rate!r}: expected 0 with --noise=none; give --noise=symmetric or --noise_rate=0"
        )
    if flags.noise == "file" and flags.noise_rate > 0:
        raise InputError(f"--noise_rate={flags.noise_rate!r}: expected 0 with --noise=file, whose labels are given")
    if (flags.noise == "file") != bool(flags.noise_file):
        raise InputError(f"--noise={flags.noise} with --noise_file={flags.noise_file!r}: expected both or neither")
    if flags.noise_key and not flags.noise_file:
        raise InputError(f"--noise_key={flags.noise_key}: expected --noise=file and --noise_file")
    if flags.noise_file and not flags.noise_file.endswith(NOISE_FILES):
        raise InputError(f"--noise_file={flags.noise_file}: expected a file ending in {' or '.join(NOISE_FILES)}")
    if flags.noise_key and not flags.noise_file.endswith(".pt"):
        raise InputError(
            f"--noise_key={flags.noise_key} with --noise_file={flags.noise_file}: expected a .pt file, or --noise_key= "
            "for a list, which has no keys"
        )
    if flags.noise_protocol == "mw_net":
        _published_noise(flags)


def _published_noise(flags) -> None:
    if flags.imbalance > 1:
        raise InputError(f"--noise_protocol=mw_net with --imbalance={flags.imbalance!r}: expected independent")
    if flags.noise not in PUBLISHED_NOISE:
        raise InputError(
            f"--noise={flags.noise} with --noise_protocol=mw_net: expected one of {', '.join(PUBLISHED_NOISE)}"
        )
    if flags.noise == "symmetric" and not flags.noise_includes_true_label:
        raise InputError(
            "--nonoise_includes_true_label with --noise_protocol=mw_net: expected its symmetric noise, which draws "
            "from all classes"
        )


def _image_lists(config) -> None:
    flags = config.data
    if flags.dataset == "list" and not (flags.train_list and flags.test_list):
        raise InputError("--dataset=list: expected --train_list and --test_list")
    if flags.resize_mode != "crop" and flags.dataset not in OWN_IMAGES:
        raise InputError(
            f"--resize_mode={flags.resize_mode} with --dataset={flags.dataset}: expected crop, or --dataset=folder or "
            "list"
        )


def _clean(config) -> None:
    flags = config.report
    if config.run.mode == "clean" and not flags.marks and not flags.clean_share and flags.clean_above == 1:
        raise InputError(
            "--mode=clean without what is not trusted: expected --marks=FILE, --clean_share above 0 or --clean_above "
            "below 1"
        )


def _crop(config) -> None:
    flags = config.data
    unused = {"crop_padding": flags.crop_padding != -1, "crop_padding_mode": flags.crop_padding_mode != "auto"}
    for name in (name for name, is_given in unused.items() if is_given and flags.augment == "none"):
        raise InputError(f"--{name}={getattr(flags, name)} with --augment=none: expected crop, crop_flip or auto")


def _strong_augment(config) -> None:
    flags = config.data
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        of_it = field.name.startswith("randaugment_") and value != field.default
        if of_it and flags.strong_augment != "randaugment":
            raise InputError(
                f"--{field.name}={value} with --strong_augment={flags.strong_augment}: expected "
                "--strong_augment=randaugment"
            )


def _dataset(config) -> None:
    """A flag that the data set does not read: other data than the user means would be trained on."""
    flags = config.data
    if flags.dataset == "digits" and flags.data_dir:
        raise InputError(
            f"--data_dir={flags.data_dir} with --dataset=digits, which comes with scikit-learn: expected the data set "
            "whose files lie there, such as --dataset=folder for images of your own"
        )
    for field in dataclasses.fields(flags):
        readers = _READ_BY.get(field.name)
        value = getattr(flags, field.name)
        if readers and flags.dataset not in readers and value != field.default:
            raise InputError(
                f"--{field.name}={flag_text.shown(value)} with --dataset={flags.dataset}, which does not read it: "
                f"expected --dataset={' or '.join(readers)}"
            )


def _method(config) -> None:
    flags = config.method
    halves = flags.selector == "agreement" and METHODS[flags.method].needs_meta_set
    if halves and config.optimization.meta_batch_size < 2:
        raise InputError(
            f"--meta_batch_size={config.optimization.meta_batch_size} with --selector=agreement, which compares two "
            "halves of it: expected 2 or more"
        )
    if flags.method in ("l2r", "jamal", "mlc"):
        for name, wanted in (("schedule", "three_stage"), ("meta_every", 1)):
            if getattr(flags, name) != wanted:
                raise InputError(
                    f"--{name}={getattr(flags, name)} with --method={flags.method}, which starts anew in each step: "
                    f"expected {wanted}"
                )


def _length(config) -> None:
    flags = config.optimization
    if config.data.dataset in OWN_IMAGES and not automatic.length(config):
        return
    if config.run.mode in _WITHOUT_TRAINING and not flags.epochs and not flags.train_steps:
        return
    if config.run.mode in ("evaluate", "export") and not flags.epochs and not flags.train_steps:
        raise InputError(
            f"--mode={config.run.mode} without --epochs or --train_steps: expected the flags that the run was trained "
            "with, such as --flagfile=RUN/flags.cfg"
        )
    if (flags.epochs > 0) == (flags.train_steps > 0):
        raise InputError(
            f"--epochs={flags.epochs} with --train_steps={flags.train_steps}: expected exactly one of them above 0"
        )


def _optimization(config) -> None:
    flags = config.optimization
    if flags.sampling == "balanced" and not flags.batches_per_epoch:
        raise InputError("--sampling=balanced: expected --batches_per_epoch above 0")
    if flags.nesterov and flags.momentum == 0:
        raise InputError("--nesterov: expected --momentum above 0, found --momentum=0.0")
    if not flags.lr_boundaries:
        return
    given = f"--lr_boundaries={flag_text.text_of(flags.lr_boundaries)}"
    if flags.lr_schedule not in ("auto", "step"):
        raise InputError(f"{given}: expected none with --lr_schedule={flags.lr_schedule}")
    if not automatic.length(config) and config.run.mode not in _WITHOUT_TRAINING:
        raise InputError(f"{given}: expected --epochs or --train_steps with it")
    unit, length = ("epochs", flags.epochs) if flags.epochs else ("train_steps", flags.train_steps)
    if length and flags.lr_boundaries[-1] >= length:
        raise InputError(f"{given}: expected numbers below --{unit}={length}, the length of the run")


def _loss(config) -> None:
    flags = config.loss
    if flags.loss == "class_balanced_focal" and flags.drw_epoch:
        raise InputError(
            f"--drw_epoch={flags.drw_epoch} with --loss=class_balanced_focal, which is weighted from the start: "
            "expected --loss=focal"
        )
    method = config.method.method
    if flags.loss != "cross_entropy" and METHODS[method].has_meta_learner and not METHODS[method].takes_loss:
        raise InputError(f"--loss={flags.loss} with --method={method}: expected cross_entropy")


def _epochs(config) -> None:
    epochs = config.optimization.epochs
    for name, group in (
        ("drw_epoch", config.loss),
        ("meta_from_epoch", config.method),
        ("warmup_epochs", config.optimization),
    ):
        if 0 < epochs <= getattr(group, name):
            raise InputError(f"--{name}={getattr(group, name)}: expected a number below --epochs={epochs}")


def _pseudo_clean(config) -> None:
    """What goes with a meta set that is picked out of the noisy training set."""
    flags = config.co_divide
    if flags.meta_set == "clean":
        if flags.algorithm == "co_divide":
            raise InputError("--algorithm=co_divide with --meta_set=clean: expected --meta_set=pseudo_clean")
        return
    expectations = [
        ("meta_per_class", config.data.meta_per_class, 0, "as no label is trusted"),
        ("probe_share", config.method.probe_share or 0, 0, "as no label is trusted"),
        ("train_steps", config.optimization.train_steps, 0, "and --epochs, as each epoch has its own meta set"),
    ]
    if flags.loss_epochs > 1:
        expectations.append(("batches_per_epoch", config.optimization.batches_per_epoch, 0, "with --loss_epochs > 1"))
    if flags.mixes:
        expectations += [
            ("loss", config.loss.loss, "cross_entropy", "with --semi_supervised"),
            ("drw_epoch", config.loss.drw_epoch, 0, "with --semi_supervised"),
        ]
    for name, value, expected, why in expectations:
        if value != expected:
            raise InputError(f"--{name}={value} with --meta_set=pseudo_clean: expected {expected}, {why}")
    if not config.method.meta_from_epoch:
        raise InputError(
            "--meta_from_epoch=0 with --meta_set=pseudo_clean: expected 1 or more, as the losses of a network that is "
            "not trained say nothing"
        )
    allowed = ("mw_net", "memory_weight_net", "running_score")
    # Mixed labels are of no class, and what is trained on without its label has none to correct.
    allowed += ("running_probability", "cross_entropy") if flags.mixes else ("cmw_net", "soft_labels", "l2r", "mlc")
    if config.method.method not in allowed:
        raise InputError(
            f"--method={config.method.method} with --meta_set=pseudo_clean, --algorithm={flags.algorithm}, "
            f"--semi_supervised={str(flags.semi_supervised).lower()}: expected one of {', '.join(allowed)}"
        )


def _meta_set(config) -> None:
    if config.data.meta_per_class or config.co_divide.meta_set != "clean":
        return
    if METHODS[config.method.method].needs_meta_set:
        raise InputError(
            f"--meta_per_class=0 with --method={config.method.method}: expected 1 or more, or "
            "--method=cross_entropy, or --meta_set=pseudo_clean"
        )
    share = config.method.probe_share
    if share:
        raise InputError(f"--meta_per_class=0 with --probe_share={share}, which trains on some of these: expected 2")


def _baselines(config) -> None:
    """What goes with methods without a meta-learner."""
    method = config.method.method
    kind = METHODS[method]
    if kind.networks > 1 and config.run.network.endswith(".keras"):
        raise InputError(
            f"--method={method} with --network={config.run.network}: expected the name of a network, as two from one "
            "file begin alike and stay alike"
        )
    for field in dataclasses.fields(config.baselines):
        value, of = getattr(config.baselines, field.name), field.metadata["of"]
        if value != field.default and method not in of:
            raise InputError(
                f"--{field.name}={flag_text.shown(value)} with --method={method}, which does not use it: expected "
                f"{flag_text.shown(field.default)}, or --method={' or '.join(of)}"
            )
    if kind.begins_trained and not config.run.init_from and config.run.mode == "train":
        raise InputError(f"--method={method} without --init_from: expected the run directory of a trained network")
    if method == "tau_norm" and config.baselines.tau is None and not config.data.meta_per_class:
        raise InputError("--method=tau_norm with --meta_per_class=0, without --tau: expected one of them")
    if kind.has_meta_learner:
        return
    unused = [
        ("meta_from_epoch", config.method.meta_from_epoch, 0),
        ("layer_cost", config.method.layer_cost, "counted"),
        ("log_meta_gradient", config.run.log_meta_gradient, False),
        ("log_stage_times", config.run.log_stage_times, False),
    ]
    if kind.draws_epochs:
        unused.append(("sampling", config.optimization.sampling, "natural"))
    if method == "bbn" and config.loss.loss == "ldam":
        unused.append(("loss", "ldam", "cross_entropy"))
    if not kind.takes_loss:
        unused += [("loss", config.loss.loss, "cross_entropy"), ("drw_epoch", config.loss.drw_epoch, 0)]
    for name, value, expected in unused:
        if value != expected:
            value, expected = flag_text.shown(value), flag_text.shown(expected)
            raise InputError(f"--{name}={value} with --method={method}, which does not use it: expected {expected}")


def _stages(config) -> None:
    """Epochs before something begins are fewer than those of the run."""
    epochs, flags = config.optimization.epochs, config.baselines
    method = config.method.method
    estimates = method == "gold_loss" or (method == "forward" and not flags.transition_file)
    if estimates and not flags.estimate_epochs:
        raise InputError(
            f"--estimate_epochs=0 with --method={method}: expected 1 or more, as a network that is not trained says "
            "nothing of the labels"
        )
    name, count = before_stages(method, flags)
    if epochs and count >= epochs:
        raise InputError(f"--{name}: {count} epochs with --epochs={epochs}: expected fewer")


def before_stages(method, flags) -> tuple[str, int]:
    """Which flags say how many epochs a method is plain training for, or prepares, and that number.

    Args:
        method: its name.
        flags: a `config.baselines.BaselinesConfig`.
    """
    before = {
        "forward": ("estimate_epochs", 0 if flags.transition_file else flags.estimate_epochs),
        "gold_loss": ("estimate_epochs", flags.estimate_epochs),
        "m_correction": ("m_correction_epochs", flags.m_correction_epochs),
        "pls": ("pls_epochs", flags.pls_epochs),
        "pes": ("pes_epochs + pes_head_epochs", flags.pes_epochs + flags.pes_head_epochs),
        "incv": ("incv_rounds x incv_round_epochs", flags.incv_rounds * flags.incv_round_epochs),
        "decoupling": ("decoupling_epochs", flags.decoupling_epochs),
    }
    return before.get(method, ("", 0))


def _forget_rate(config) -> None:
    """A share to leave out is given, or follows from the noise."""
    method = config.method.method
    rate = config.data.noise_rate
    if METHODS[method].forgets and config.baselines.forget_rate is None and not 0 < rate < 1:
        raise InputError(
            f"--forget_rate=auto with --method={method} and --noise_rate={rate!r}: expected the share of labels that "
            "are wrong"
        )


_RULES = (
    _run,
    _noise,
    _dataset,
    _image_lists,
    _crop,
    _strong_augment,
    _clean,
    _method,
    _length,
    _optimization,
    _loss,
    _epochs,
    _pseudo_clean,
    _meta_set,
    _baselines,
    _stages,
    _forget_rate,
)
