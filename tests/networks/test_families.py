"""A small network of each family, in float64: the meta gradient by the engine is that of nested tapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import losses
from famus_tf.networks import ends, preact_resnet, resnet
from tests import small_networks
from tests.oracles import nested_tapes

_CLASSES, _ALPHA = 3, 0.25
_STATISTICS = [0.1, 0.2, 0.3], [1.1, 1.2, 1.3]


def _bottom_of(build, size, last):
    """The first layers of one of Keras's networks, and a classifier on them."""
    images, x = ends.normalised_images((size, size, 3), *_STATISTICS)
    body = build(include_top=False, weights=None, input_tensor=x)
    x = keras.layers.GlobalAveragePooling2D()(body.get_layer(last).output)
    return keras.Model(images, ends.classifier(_CLASSES)(x))


FAMILIES = {
    "pre-activation": lambda: preact_resnet.small_preact((8, 8, 3), _CLASSES, *_STATISTICS),
    "wide": lambda: preact_resnet.pre_activation_network(
        "wrn10_1", (8, 8, 3), _CLASSES, *_STATISTICS, "linear", widths=(16, 32, 64), blocks=1, stem_width=16
    ),
    "resnet32": lambda: resnet.resnet32((8, 8, 3), _CLASSES, *_STATISTICS),
    "bottlenecks of ResNet-50": lambda: _bottom_of(keras.applications.ResNet50, 32, "conv2_block2_out"),
    "Inception-ResNet blocks": lambda: _bottom_of(keras.applications.InceptionResNetV2, 75, "block35_1_ac"),
    "cosine classifier": lambda: preact_resnet.small_preact((8, 8, 3), _CLASSES, *_STATISTICS, head="cosine"),
}


class _Masked(famus_tf.AllLayers):
    """Gates that the test chooses, at full depth: without conditionals, which take long to trace."""

    def call(self, descriptors, step):
        return tf.constant(self.gates, tf.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_meta_gradient_of_each_family(family):
    network = small_networks.shaken(small_networks.in_float64(FAMILIES[family]()))
    assert {variable.dtype for variable in network.variables} <= {"float64", "uint32"}
    loss, oracles = None, nested_tapes.cross_entropies
    if family == "cosine classifier":
        counts = [9, 4, 1]
        loss, margins = losses.LDAM(counts), np.array([0.5 * (1 / n) ** 0.25 for n in counts])

        def oracles(labels, logits):
            y = tf.one_hot(labels, 3, dtype=tf.float64)
            return -tf.reduce_sum(y * tf.nn.log_softmax(logits - 30 * y * margins), axis=1)

    learner = famus_tf.MWNet(hidden=6, seed=5, dtype="float64", loss=loss)
    trainer = famus_tf.FaMUS(network, learner, _Masked())
    trainer.compile(keras.optimizers.SGD(_ALPHA))
    trainer.record_meta_gradient = True
    assert len(trainer.segments) >= 3
    rng, count = np.random.default_rng(2), len(trainer.gated_layers)
    data = [
        (tf.constant(rng.normal(size=(len(labels), *network.input_shape[1:]))), tf.constant(labels))
        for labels in ([0, 2, 1, 1, 0], [2, 0, 1, 2])
    ]
    for gates in (np.ones(count), rng.integers(0, 2, count).astype(float)):
        trainer.selector.gates = gates.tolist()
        theta = nested_tapes.MWNet(learner.trainable_variables, losses=oracles)
        expected = nested_tapes.NestedTapes(trainer, theta, gates, _ALPHA).meta_train(*data).theta_gradient
        found = trainer.step(data)["meta_gradient"].numpy()
        nested_tapes.assert_close([found], [nested_tapes.flat(expected)], 1e-8)


_WEIGHTS = losses.effective_number_weights([50, 9, 2], 0.9999)


@pytest.mark.parametrize(
    ("learner", "loss"),
    [
        (famus_tf.MWNet, losses.ClassWeighted(losses.SigmoidFocal(), _WEIGHTS)),
        (famus_tf.MWNet, losses.ClassWeighted(losses.LDAM([50, 9, 2]), _WEIGHTS, first_step=1)),
        (famus_tf.L2R, losses.LDAM([50, 9, 2])),
        (famus_tf.CrossEntropy, losses.Focal()),
    ],
)
def test_famus_step_with_long_tail_losses(learner, loss):
    """The whole trainer on them: finite, and w and theta move."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 12)
    network = preact_resnet.small_preact((8, 8, 3), 3, [100.0] * 3, [50.0] * 3, head="cosine")
    learner = learner(loss=loss)
    trainer = famus_tf.FaMUS(network, meta_learner=learner, selector=famus_tf.GradientSampler(3))
    trainer.compile(keras.optimizers.SGD(0.05))
    before = [variable.numpy() for variable in (*network.trainable_variables, *learner.trainable_variables)]
    step = tf.function(trainer.step, autograph=False)
    for _ in range(2):
        records = step(((images, labels), (images[:6], labels[:6])))
    assert np.isfinite(records["loss"]) and np.isfinite(records["example_weight"]).all()
    after = [*network.trainable_variables, *learner.trainable_variables]
    assert all(np.isfinite(variable).all() for variable in after)
    assert sum(np.abs(variable - old).max() > 0 for variable, old in zip(after, before, strict=True)) > 20
