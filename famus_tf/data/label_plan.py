"""What is done to a data set's labels before they are trained on."""

from __future__ import annotations

import dataclasses

from famus_tf import errors
from famus_tf.data import noise as noise_lib


@dataclasses.dataclass(frozen=True)
class LabelPlan:
    """How a source's training labels become those that are trained on.

    Attributes:
        noise: one of `noise.KINDS`.
        noise_rate: r in [0, 1]; not used with "none" and "file".
        noise_includes_true_label: of symmetric noise; see `noise.symmetric`.
        superclasses: one of `noise.SUPERCLASSES`; see `noise.transition_matrix`.
        noise_file: path, with "file"; see `noise_file.read`.
        noise_key: see `noise_file.read`.
        noise_protocol: "independent": meta set, long tail, limit and noise each from a random stream of its own;
            "mw_net": meta set and noise as in `mw_net_protocol.split_and_corrupt`.
        imbalance: largest class over the smallest, 1 for the classes as they are; see `long_tail.class_counts`.
        imbalance_shape: one of `long_tail.SHAPES`.
        imbalance_head: one of `long_tail.HEADS`: the largest count is that of class 0 after the meta set is taken out
            (Meta-Weight-Net, FaMUS), or of the whole class (Cui et al., LDAM), as far as the meta set leaves it.
    """

    noise: str = "none"
    noise_rate: float = 0.0
    noise_includes_true_label: bool = True
    superclasses: str = "true"
    noise_file: str = ""
    noise_key: str = ""
    noise_protocol: str = "independent"
    imbalance: float = 1.0
    imbalance_shape: str = "exponential"
    imbalance_head: str = "after_meta"

    def __post_init__(self) -> None:
        if self.noise not in noise_lib.KINDS:
            kinds = ", ".join(noise_lib.KINDS)
            raise errors.InputError(f"there is no label noise {self.noise!r}, expected one of {kinds}")
