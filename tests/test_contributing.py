"""CONTRIBUTING's recipes, followed in a copy: a method, a loss, a network, a data set and a meta-learner."""

import json
import shutil

import pytest

from tests import documented_commands, fresh_python

ROOT = documented_commands.ROOT
METHOD = '''
"""Agreement: two networks, cross-entropy and the squared distance of their logits."""
import tensorflow as tf
from famus_tf.losses import softmax
from famus_tf.methods import two_networks


class Agreement(two_networks.TwoNetworks):
    def objective(self, labels, first, second, rate):
        apart = tf.reduce_sum((first - second) ** 2, axis=-1)
        losses = softmax.cross_entropy(labels, first) + softmax.cross_entropy(labels, second) + apart
        return softmax.mean_over_batch(losses), tf.ones_like(losses)


def build(setting):
    method = Agreement([setting.make_network(number) for number in range(2)])
    method.compile(optimizer=setting.optimizer, metrics=setting.metrics)
    return method
'''
LOSS = '''
"""Mean absolute error of the probabilities."""
import keras
import tensorflow as tf
from famus_tf.losses import base, softmax


@keras.saving.register_keras_serializable("famus_tf")
class AbsoluteError(base.Loss):
    def __call__(self, labels, logits, step=None):
        return tf.reduce_sum(tf.abs(softmax.as_distributions(labels, logits) - tf.nn.softmax(logits)), axis=-1)

    def get_config(self):
        return {}
'''
NETWORK = '''
"""A linear network."""
import keras
from famus_tf.networks import ends


def linear(input_shape, num_classes, mean, std):
    images, x = ends.normalised_images(input_shape, mean, std)
    return keras.Model(images, ends.classifier(num_classes, "linear")(keras.layers.Flatten()(x)), name="linear")
'''
DATA_SET = '''
"""Squares that are brighter in one half."""
import numpy as np
from famus_tf.data.source import Source, channel_statistics


def load(data_dir=None):
    labels = np.arange(120, dtype=np.int32) % 2
    images = np.random.default_rng(0).integers(0, 100, (120, 4, 4, 1), np.uint8)
    images[labels == 1, :2] += 100
    mean, std = channel_statistics(images[:80])
    return Source("halves", images[:80], labels[:80], images[80:], labels[80:], ("no", "yes"), mean, std, 0, False)
'''
LEARNER = '''
"""Every example has the same weight, one that is learned."""
import tensorflow as tf
from famus_tf.meta.learners import base


class OneWeight(base.MetaLearner):
    def parameters(self, batch):
        return [tf.ones([])]

    def loss(self, logits, labels, theta, step=None):
        return theta[0] * self.plain_loss(logits, labels, step)

    def update(self, theta, gradient):
        return [theta[0] - 0.1 * gradient[0]]
'''
# Files, and lines that a recipe asks for: where, what stands there, what stands there then.
FILES = {
    "methods/baselines/agreement.py": METHOD,
    "losses/absolute_error.py": LOSS,
    "networks/linear.py": NETWORK,
    "data/sets/halves.py": DATA_SET,
    "meta/learners/one_weight.py": LEARNER,
}
LINES = [
    (
        "methods/__init__.py",
        "baselines import (\n",
        "baselines import (\n    agreement,\n",
    ),
    (
        "methods/__init__.py",
        '    "mw_net":',
        '    "agreement": agreement.build,\n    "one_weight": meta_learned.one_weight,\n    "mw_net":',
    ),
    (
        "config/method.py",
        "METHODS = {",
        'METHODS = {"agreement": Kind(networks=2, has_meta_learner=False), "one_weight": Kind(needs_meta_set=True), ',
    ),
    (
        "losses/__init__.py",
        "\n\n__all__",
        "\nfrom famus_tf.losses.absolute_error import AbsoluteError\n\n__all__",
    ),
    (
        "experiment/supervision.py",
        "makers = {",
        'makers = {"absolute_error": losses.AbsoluteError,',
    ),
    (
        "config/loss.py",
        '            "cross_entropy",\n            "focal",\n',
        '            "absolute_error",\n            "cross_entropy",\n            "focal",\n',
    ),
    (
        "networks/__init__.py",
        "import inception_resnet,",
        "import linear, inception_resnet,",
    ),
    (
        "networks/__init__.py",
        "BUILDERS = {",
        'BUILDERS = {"linear": linear.linear,',
    ),
    (
        "config/run.py",
        "NETWORKS = (",
        'NETWORKS = ("linear", ',
    ),
    (
        "data/sets/by_name.py",
        "import cifar,",
        "import halves, cifar,",
    ),
    (
        "data/sets/by_name.py",
        "SOURCES = {",
        'SOURCES = {"halves": halves.load,',
    ),
    (
        "config/data.py",
        '("digits", "fashion_mnist",',
        '("halves", "digits", "fashion_mnist",',
    ),
    (
        "meta/learners/__init__.py",
        "\n\n__all__",
        "\nfrom famus_tf.meta.learners.one_weight import OneWeight\n\n__all__",
    ),
    (
        "methods/meta_learned.py",
        "def mw_net(",
        "def one_weight(setting):\n    return _build(setting, learners.OneWeight)\n\n\ndef mw_net(",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    package = folder / "famus_tf"
    shutil.copytree(ROOT / "famus_tf", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        assert not (package / name).exists()
        (package / name).write_text(text.lstrip())
    for name, before, after in LINES:
        text = (package / name).read_text()
        assert text.count(before) == 1, (name, before)
        (package / name).write_text(text.replace(before, after))
    return folder


@pytest.mark.parametrize(("method", "loss"), [("agreement", "cross_entropy"), ("one_weight", "absolute_error")])
def test_what_the_recipes_add_is_trained(site, method, loss):
    flags = "--dataset=halves", "--network=linear", "--noise=symmetric", "--noise_rate=0.2", "--meta_per_class=4"
    flags += "--batch_size=8", "--meta_batch_size=4", "--epochs=4", "--base_learning_rate=0.05", "--selector=all"
    flags += f"--method={method}", f"--loss={loss}", f"--workdir={method}"
    fresh_python.run(site, site, "-m", "famus_tf.main", *flags)
    results = json.loads((site / method / "results.json").read_text())
    assert results["method"] == method and results["test_accuracy"]["last"] > 0.9
    assert len(results.get("networks", ())) == (2 if method == "agreement" else 0)


def test_contributing_names_every_place():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name, _, _ in LINES:
        assert f"famus_tf/{name}" in text, name
