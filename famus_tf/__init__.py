"""famus_tf: meta-learning from wrong or uneven labels, made affordable (FaMUS, Xu et al., CVPR 2021)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from famus_tf import losses as losses
    from famus_tf.errors import InputError as InputError
    from famus_tf.experiment.co_divide import CoDivide as CoDivide
    from famus_tf.meta.learners import L2R as L2R
    from famus_tf.meta.learners import MLC as MLC
    from famus_tf.meta.learners import CMWNet as CMWNet
    from famus_tf.meta.learners import CrossEntropy as CrossEntropy
    from famus_tf.meta.learners import MemoryWeightNet as MemoryWeightNet
    from famus_tf.meta.learners import MWNet as MWNet
    from famus_tf.meta.learners import SoftLabels as SoftLabels
    from famus_tf.meta.selectors import AgreementSelector as AgreementSelector
    from famus_tf.meta.selectors import AllLayers as AllLayers
    from famus_tf.meta.selectors import FixedBlock as FixedBlock
    from famus_tf.meta.selectors import GradientSampler as GradientSampler
    from famus_tf.meta.selectors import RandomLayers as RandomLayers
    from famus_tf.methods.baselines.co_teaching import CoTeaching as CoTeaching
    from famus_tf.methods.baselines.jocor import JoCoR as JoCoR
    from famus_tf.methods.famus import FaMUS as FaMUS
    from famus_tf.networks.ends import CosineClassifier as CosineClassifier

__version__ = "0.1.0"

_PUBLIC = {
    "FaMUS": "famus_tf.methods.famus",
    "CoTeaching": "famus_tf.methods.baselines.co_teaching",
    "CoDivide": "famus_tf.experiment.co_divide",
    "JoCoR": "famus_tf.methods.baselines.jocor",
    "MWNet": "famus_tf.meta.learners",
    "MemoryWeightNet": "famus_tf.meta.learners",
    "SoftLabels": "famus_tf.meta.learners",
    "L2R": "famus_tf.meta.learners",
    "MLC": "famus_tf.meta.learners",
    "CMWNet": "famus_tf.meta.learners",
    "CrossEntropy": "famus_tf.meta.learners",
    "AllLayers": "famus_tf.meta.selectors",
    "AgreementSelector": "famus_tf.meta.selectors",
    "GradientSampler": "famus_tf.meta.selectors",
    "RandomLayers": "famus_tf.meta.selectors",
    "FixedBlock": "famus_tf.meta.selectors",
    "CosineClassifier": "famus_tf.networks.ends",
    "InputError": "famus_tf.errors",
    "losses": "famus_tf.losses",
}

__all__ = [
    "L2R",
    "MLC",
    "AgreementSelector",
    "AllLayers",
    "CMWNet",
    "CoDivide",
    "CoTeaching",
    "CosineClassifier",
    "CrossEntropy",
    "FaMUS",
    "FixedBlock",
    "GradientSampler",
    "InputError",
    "JoCoR",
    "MWNet",
    "MemoryWeightNet",
    "RandomLayers",
    "SoftLabels",
    "losses",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that a mistyped flag is answered without waiting for TensorFlow.
    if name in _PUBLIC:
        if name != "InputError":
            importlib.import_module("famus_tf.devices.keras_settings").load()
        module = importlib.import_module(_PUBLIC[name])
        return module if name == "losses" else getattr(module, name)
    raise AttributeError(f"module 'famus_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
