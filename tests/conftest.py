"""Two logical CPUs for the whole process, one strategy on them, and what the quick tier is.

TensorFlow fixes its devices when it is first used, so they are configured after the test modules are collected and
before any test runs; a run that collects no test with TensorFlow does not pay for importing it. No test module may make
a tensor while it is imported.
"""

import os
import pathlib
import signal
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What TensorFlow does on CPUs with AVX-512 anyway; on others it counts no tensors without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
HERE = pathlib.Path(__file__).parent
# What `-m quick` runs, folders and files: every folder, but no whole run and nothing that takes seconds to trace.
QUICK = (
    "config",
    "data/test_class_folders.py",
    "data/test_class_names.py",
    "data/test_coverage.py",
    "data/test_dataset.py",
    "data/test_digits.py",
    "data/test_folder_splits.py",
    "data/test_image_list.py",
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
    assert all((HERE / place).exists() for place in QUICK)
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        if any(path == place or path.startswith(f"{place}/") for place in QUICK):
            item.add_marker("quick")


def pytest_configure():
    """Heeds what a shell ignores for its jobs in the background, or `nohup` does: tests send it, and would wait."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


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
