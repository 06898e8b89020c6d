"""The flags of the length of a run, of its batches and of its optimizers."""

import dataclasses

from famus_tf.config import fields


@dataclasses.dataclass(frozen=True)
class OptimizationConfig(fields.FlagGroup):
    """The length of the run, batches, and the three optimizers: base (w), meta (theta), sampler (eta)."""

    epochs: int = fields.flag(
        0,
        "Length of the run in epochs; give this or train_steps, not both. With neither, of folder and list, by the "
        "images' number and size, the network and the device, said when the run starts.",
        bounds=fields.COUNT_OR_ZERO,
    )
    train_steps: int = fields.flag(
        0, "Length of the run in training steps; give this or epochs, not both.", bounds=fields.COUNT_OR_ZERO
    )
    batches_per_epoch: int = fields.flag(
        0,
        "Batches in an epoch; 0: as many as the training images fill. An epoch of fewer draws its images anew.",
        bounds=fields.COUNT_OR_ZERO,
    )
    sampling: str = fields.flag(
        "natural",
        "How an epoch's training images are drawn: natural (at random), or balanced (equally many of each class, by "
        "the given labels, drawn anew for every epoch).",
        ("natural", "balanced"),
    )
    batch_size: int = fields.flag(100, "n: training images per step, over all devices.", bounds=fields.COUNT)
    meta_batch_size: int = fields.flag(
        0,
        "m: meta images per step, over all devices; 0: as many as batch_size, of memory_weight_net and running_score "
        "with --schedule=one_loop a quarter, rounded up.",
        bounds=fields.COUNT_OR_ZERO,
    )
    base_learning_rate: float | None = fields.flag(
        None,
        "alpha: learning rate of the base weights w at the start, in Virtual-Train too. auto: of folder and list by "
        "the batch size and the network, said when the run starts; else 0.1.",
        bounds=fields.POSITIVE_OR_AUTO,
    )
    lr_schedule: str = fields.flag(
        "auto",
        "Course of alpha: step (times lr_decay at each of lr_boundaries), cosine (to 0 at the end), constant, or auto: "
        "of folder and list without lr_boundaries cosine, else step.",
        ("auto", "step", "cosine", "constant"),
    )
    lr_boundaries: tuple[float, ...] = fields.flag(
        (),
        "When alpha is multiplied by lr_decay, joined by commas: in epochs with --epochs, in steps with --train_steps.",
        bounds=fields.INCREASING,
    )
    lr_decay: float = fields.flag(0.1, "The factor on alpha at each of lr_boundaries.", bounds=fields.DECAY)
    warmup_epochs: int = fields.flag(
        0, "Epochs over which alpha rises from near 0 to its course.", bounds=fields.COUNT_OR_ZERO
    )
    virtual_learning_rate: float = fields.flag(
        0.0, "alpha of Virtual-Train alone, for mlc; 0: the same as for w.", bounds=fields.NON_NEGATIVE
    )
    meta_learning_rate: float = fields.flag(
        1e-3,
        "beta: learning rate of the meta-learner theta; 0 leaves it as initialised. Without effect on l2r.",
        bounds=fields.NON_NEGATIVE,
    )
    meta_weight_decay: float = fields.flag(
        1e-4, "Weight decay of theta: this times theta is added to the meta gradient.", bounds=fields.NON_NEGATIVE
    )
    meta_optimizer: str = fields.flag(
        "adam",
        "The optimizer of mw_net's theta: adam, or sgd with Nesterov momentum 0.9. mlc takes plain steps.",
        ("adam", "sgd"),
    )
    sampler_learning_rate: float = fields.flag(
        0.1,
        "delta: learning rate of the layer sampler eta; 0 leaves it as initialised.",
        bounds=fields.NON_NEGATIVE,
    )
    ema: float = fields.flag(
        0.0,
        "Momentum of a moving average of the weights, which is evaluated, reported and exported in the place of the "
        "weights; 0: none. In step t at most (1 + t) / (10 + t). Published ones: 0.999, 0.9999 for long runs.",
        bounds=fields.BELOW_ONE,
    )
    momentum: float = fields.flag(0.9, "Momentum of the base optimizer.", bounds=fields.BELOW_ONE)
    nesterov: bool = fields.flag(False, "Nesterov's form of the momentum.")
    weight_decay: float = fields.flag(
        5e-4,
        "Weight decay of w: this times w is added to the gradient in Actual-Train.",
        bounds=fields.NON_NEGATIVE,
    )
