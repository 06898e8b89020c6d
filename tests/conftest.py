"""Two logical CPUs for the whole process, one strategy on them, and small networks for the oracles.

TensorFlow fixes its devices when it is first used, so they are configured after the test modules are collected and
before any test runs; a run that collects no test with TensorFlow does not pay for importing it. No test module may make
a tensor while it is imported.
"""

import os
import pathlib
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = pathlib.Path(__file__).parent
# What `-m quick` runs, folders and files: every folder, but no whole run and nothing that takes seconds to trace.
QUICK = (
    "config",
    "data/test_dataset.py",
    "data/test_digits.py",
    "data/test_listing.py",
    "data/test_long_tail.py",
    "data/test_mw_net_protocol.py",
    "data/test_noise.py",
    "data/test_noise_file.py",
    "data/test_pickles.py",
    "data/test_sampling.py",
    "devices/test_allocator.py",
    "experiment/test_supervision.py",
    "losses",
    "meta/test_gumbel.py",
    "meta/test_layers.py",
    "meta/test_learners.py",
    "meta/test_objectives.py",
    "meta/test_sampler.py",
    "methods/test_clean_split.py",
    "methods/test_co_divide.py",
    "methods/test_two_networks.py",
    "reports/test_compare.py",
    "runs",
    "test_layout.py",
    "training/test_epoch_statistics.py",
    "training/test_learning_rates.py",
)


def pytest_collection_modifyitems(items):
    """Marks what is quick."""
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        if any(path == place or path.startswith(f"{place}/") for place in QUICK):
            item.add_marker("quick")


def pytest_collection_finish():
    """Splits the CPU in two where a collected module has imported TensorFlow."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])


@pytest.fixture(autouse=True)
def notes():
    """Prints what the package notes, as the program does."""
    from famus_tf.experiment import notes

    notes.show()


@pytest.fixture(autouse=True)
def seeded():
    """Seeds Python, NumPy and TensorFlow before every test that runs in a process with TensorFlow."""
    if "tensorflow" in sys.modules:
        import keras

        keras.utils.set_random_seed(1234)


@pytest.fixture(scope="session")
def two_replicas():
    """The one MirroredStrategy of the process: a second one would crash it (tensorflow#62790)."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def residual_network():
    """Function that builds a small residual network, images [n, 6, 6, 2] -> logits [n, 3]."""
    return _residual_network


def _residual_network(dtype="float32", batch_norm=True, seed=0, kernel_regularizer=None):
    """Stem, one identity block, a convolution with bias, the classifier; every weight away from its initial value."""
    import keras
    import numpy as np

    def convolution(filters, name, **options):
        options = {"padding": "same", "use_bias": False, "kernel_regularizer": kernel_regularizer} | options
        return keras.layers.Conv2D(filters, 3, name=name, dtype=dtype, **options)

    def normalised(x, name):
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9, dtype=dtype, name=f"{name}_bn")(x)
        return keras.layers.Activation("relu", dtype=dtype, name=f"{name}_relu")(x)

    images = keras.Input((6, 6, 2), dtype=dtype, name="images")
    x = convolution(4, "stem")(images)
    y = convolution(4, "block_conv1")(normalised(x, "block_a"))
    y = convolution(4, "block_conv2")(normalised(y, "block_b"))
    x = keras.layers.Add(dtype=dtype, name="block_add")([x, y])
    x = convolution(5, "down", strides=2, use_bias=True)(x)
    x = normalised(x, "head")
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    logits = keras.layers.Dense(3, dtype=dtype, kernel_regularizer=kernel_regularizer, name="classifier")(x)
    network = keras.Model(images, logits, name="tiny")
    generator = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        fan_in = np.prod(variable.shape[:-1])
        spread = 1.5 * fan_in**-0.5 if len(variable.shape) > 1 else 0.2
        center = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(center + spread * generator.standard_normal(variable.shape))
    return network
