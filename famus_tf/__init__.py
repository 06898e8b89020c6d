"""famus_tf: meta-learning from wrong or uneven labels, made affordable (FaMUS, Xu et al., CVPR 2021)."""

import importlib

_PUBLIC = {
    "FaMUS": "famus_tf.methods.famus",
    "MWNet": "famus_tf.meta.learners",
    "L2R": "famus_tf.meta.learners",
    "MLC": "famus_tf.meta.learners",
    "CrossEntropy": "famus_tf.meta.learners",
    "AllLayers": "famus_tf.meta.selectors",
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
    "AllLayers",
    "CosineClassifier",
    "CrossEntropy",
    "FaMUS",
    "FixedBlock",
    "GradientSampler",
    "InputError",
    "MWNet",
    "RandomLayers",
    "losses",
]


def __getattr__(name):
    # Lazy, so that a mistyped flag is answered without waiting for TensorFlow.
    if name in _PUBLIC:
        module = importlib.import_module(_PUBLIC[name])
        return module if name == "losses" else getattr(module, name)
    raise AttributeError(f"module 'famus_tf' has no attribute {name!r}")
