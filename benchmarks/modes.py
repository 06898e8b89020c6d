"""The ways of training that are compared: plain Keras, and `famus_tf` in its modes; `mode_steps` makes their steps."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

import famus_tf
from famus_tf import errors
from famus_tf.config.method import MethodConfig


class PinnedSampler(famus_tf.GradientSampler):
    """The learned sampler with all its work, whose gates are then replaced by those of one block.

    The graph is that of FaMUS with the sampler, conditionals included; only the depth that it goes to is known.

    Args:
      block: as in `famus_tf.FixedBlock`.
    """

    def __init__(self, block):
        super().__init__()
        self._pinned = famus_tf.FixedBlock(block)

    def create_variables(self, layers):
        """As the learned sampler's; raises InputError where the network has no such block."""
        super().create_variables(layers)
        self._pinned.create_variables(layers)

    def call(self, descriptors, step):
        """Gates, float32 [L]; the gradient is that of the learned ones."""
        gates = super().call(descriptors, step)
        return gates + tf.stop_gradient(self._pinned(descriptors, step) - gates)


@dataclasses.dataclass(frozen=True)
class Mode:
    """One way of training.

    Attributes:
      name: as on the command line.
      learner: function (classes) -> meta-learner; None for plain Keras.
      selector: function () -> selector.
      schedule, meta_every: as in `famus_tf.FaMUS`.
      meta_share: size of the meta batch as a share of the training batch; None takes the command line's.
      settle: whether the selector is trained before the steps are timed.
      period: number of steps that a timing has a multiple of; of `meta_every` at least.
      virtual_backward: whether the step has a virtual backward pass (L2R's has none), for the cost model.
    """

    name: str
    learner: Callable | None = None
    selector: Callable = famus_tf.AllLayers
    schedule: str = "three_stage"
    meta_every: int = 1
    meta_share: float = 1.0
    settle: bool = False
    period: int = 1
    virtual_backward: bool = True


def _mw_net(name, selector=famus_tf.AllLayers, **options):
    return Mode(name, lambda classes: famus_tf.MWNet(), selector, **options)


_LAST_BLOCK = functools.partial(famus_tf.FixedBlock, -2)
_CLASSIFIER = functools.partial(famus_tf.FixedBlock, -1)
_MEASURING_EVERY = MethodConfig.agreement_every
EXAMPLES = 50_000  # as many as CIFAR has, 400 of them trusted
_L2R = {"learner": lambda classes: famus_tf.L2R(), "virtual_backward": False}


def _memory(classes):
    inputs = ("score", "probability", "loss")
    emphasis = famus_tf.MWNet()
    return famus_tf.MemoryWeightNet(EXAMPLES, inputs, "probes", num_probes=400, num_classes=classes, emphasis=emphasis)


def _running(*inputs):
    return lambda classes: famus_tf.MemoryWeightNet(EXAMPLES, inputs)


_MODES = (
    Mode("plain"),
    Mode("cross_entropy", lambda classes: famus_tf.CrossEntropy()),
    _mw_net("mw_net_exact"),
    _mw_net("famus_last_block", _LAST_BLOCK),
    _mw_net("famus_classifier", _CLASSIFIER),
    _mw_net("famus_settled", famus_tf.GradientSampler, settle=True),
    _mw_net(
        "mw_net_agreement_settled",
        functools.partial(famus_tf.AgreementSelector, _MEASURING_EVERY),
        settle=True,
        period=_MEASURING_EVERY,
    ),
    _mw_net("random_layers_4", functools.partial(famus_tf.RandomLayers, 4)),
    Mode("l2r_exact", **_L2R),
    Mode("l2r_last_block", selector=_LAST_BLOCK, **_L2R),
    Mode("mlc_exact", lambda classes: famus_tf.MLC(classes)),
    Mode("cmw_net_exact", lambda classes: famus_tf.CMWNet([EXAMPLES // classes] * classes)),
    Mode("soft_labels_exact", lambda classes: famus_tf.SoftLabels(EXAMPLES, classes)),
    Mode("running_p", _running("probability")),
    Mode(
        "running_p_score_settled",
        _running("score", "probability"),
        functools.partial(famus_tf.AgreementSelector, _MEASURING_EVERY),
        settle=True,
        period=_MEASURING_EVERY,
    ),
    _mw_net("one_loop_exact", schedule="one_loop"),
    _mw_net("one_loop_last_block", _LAST_BLOCK, schedule="one_loop"),
    _mw_net("one_loop_classifier", _CLASSIFIER, schedule="one_loop"),
    _mw_net("one_loop_last_block_quarter", _LAST_BLOCK, schedule="one_loop", meta_share=0.25),
    _mw_net("one_loop_last_block_every4", _LAST_BLOCK, schedule="one_loop", meta_every=4),
    # What `--method=memory_weight_net` does: settled, one of so many steps measuring. Then a step between two
    # measurements by the set that the first step chose, of weights as they are at the start; and one that measures.
    Mode(
        "one_loop_memory_settled_quarter",
        _memory,
        functools.partial(famus_tf.AgreementSelector, _MEASURING_EVERY),
        schedule="one_loop",
        meta_share=0.25,
        settle=True,
        period=_MEASURING_EVERY,
    ),
    Mode("one_loop_memory_exact_quarter", _memory, schedule="one_loop", meta_share=0.25),
    Mode("one_loop_memory_last_block_quarter", _memory, _LAST_BLOCK, schedule="one_loop", meta_share=0.25),
    Mode("one_loop_memory_classifier_quarter", _memory, _CLASSIFIER, schedule="one_loop", meta_share=0.25),
    Mode(
        "one_loop_memory_agreement_quarter",
        _memory,
        functools.partial(famus_tf.AgreementSelector, 2**30),
        schedule="one_loop",
        meta_share=0.25,
    ),
    _mw_net(
        "one_loop_agreement_quarter",
        functools.partial(famus_tf.AgreementSelector, 2**30),
        schedule="one_loop",
        meta_share=0.25,
    ),
    _mw_net(
        "one_loop_measuring_quarter",
        functools.partial(famus_tf.AgreementSelector, 1),
        schedule="one_loop",
        meta_share=0.25,
    ),
)
NAMES = tuple(mode.name for mode in _MODES)
_DEPTH = "famus_gates_at_"


def find(name):
    """The `Mode` called `name`: one of `NAMES`, or famus_gates_at_<block> (the sampler's step at a pinned depth).

    Raises:
      InputError: there is no such mode.
    """
    for mode in _MODES:
        if mode.name == name:
            return mode
    text = name.removeprefix(_DEPTH)
    if name.startswith(_DEPTH) and text.removeprefix("-").isdigit():
        return _mw_net(name, functools.partial(PinnedSampler, int(text)))
    raise errors.InputError(f"--modes: no mode {name!r}; expected {', '.join(NAMES)} or {_DEPTH}<block>")


def depth_name(block):
    """Name of the mode whose gates are pinned at a block, a number (or its text) as `famus_tf.FixedBlock` counts."""
    return f"{_DEPTH}{block}"
