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
# Beside what is marked in its file: what takes long, and whose like is run on other data, by another learner, or in
# smaller numbers. Beginnings of pytest's names.
SLOW = (
    "benchmarks/test_segments.py::test_a_step_and_its_table[preact_resnet18",
    "benchmarks/test_selection.py::test_the_command",
    "benchmarks/test_settled.py::test_the_second_time_the_weights_are_read",
    "data/test_data_sets.py::test_flag_file_on_a_small_tree[cifar100",
    "data/test_data_sets.py::test_flag_file_on_a_small_tree[cifar10_longtail",
    "data/test_data_sets.py::test_flag_file_on_a_small_tree[cifar10_pseudo_clean",
    "data/test_data_sets.py::test_flag_file_on_a_small_tree[fashion_mnist_pseudo_clean",
    "experiment/test_clean.py::test_a_trusted_set_that_nobody_has_checked_is_judged_and_cleaned",
    "experiment/test_co_divide_forms.py::test_layers_chosen_by_agreement",
    "experiment/test_co_divide_forms.py::test_one_loop_with_meta_steps_now_and_then_on_epochs_of_a_sample",
    "experiment/test_co_divide_forms.py::test_other_learners_on_pseudo_clean_sets[memory_weight_net",
    "experiment/test_co_divide_forms.py::test_weights_by_what_is_remembered",
    "experiment/test_co_divide_runs.py::test_one_network_killed_in_mid_epoch_goes_on_and_ends_the_same",
    "experiment/test_experiment.py::test_interrupted_it_goes_on_and_ends_with_the_same_weights[l2r",
    "experiment/test_experiment.py::test_interrupted_it_goes_on_and_ends_with_the_same_weights[one_loop_every_2",
    "experiment/test_experiment.py::test_measured_costs_are_measured_once_and_kept",
    "experiment/test_experiment.py::test_the_loop_is_fit[l2r",
    "experiment/test_experiment.py::test_the_loop_is_fit[mlc",
    "experiment/test_faults.py::test_a_data_file_that_vanishes",
    "experiment/test_first_hour.py::test_sets_smaller_than_the_default_batches",
    "experiment/test_folds.py::test_batches_of_a_part_are_no_larger_than_it",
    "experiment/test_folds.py::test_images_that_are_skipped_are_of_no_suspicion",
    "experiment/test_folds.py::test_with_a_validation_set_the_best_epoch_judges_and_open_flags_are_filled_in",
    "experiment/test_image_kind_runs.py::test_training_skips_and_lists_them[streamed",
    "experiment/test_image_kind_runs.py::test_training_stops_at_the_first_of_them[streamed",
    "experiment/test_image_sets.py::test_algorithm_1_with_trusted_labels",
    "experiment/test_image_sets.py::test_cnwl_at_another_rate",
    "experiment/test_longer_runs.py::test_it_ends_as_a_run_of_that_length[boundaries",
    "experiment/test_longer_runs.py::test_it_ends_as_a_run_of_that_length[steps",
    "experiment/test_multi_worker.py::test_both_killed_in_mid_epoch_they_go_on_and_end_with_the_same_weights",
    "experiment/test_multi_worker_batch_norm.py::test_batch_norm_of_each_replica_gives_what_two_devices_give",
    "experiment/test_old_runs.py::test_it_goes_on_and_ends_with_the_same_weights[co_divide",
    "experiment/test_probes.py::test_export_knows_of_them[cmw_net",
    "experiment/test_probes.py::test_export_knows_of_them[soft_labels",
    "experiment/test_recipes.py::test_animal_10n",
    "experiment/test_recipes.py::test_webfg_496",
    "experiment/test_sizes_of_images.py::test_a_mode_that_cuts_nothing_off[pad",
    "faults/test_headers.py::test_200_headers",
    "faults/test_lists.py::test_200_lists",
    "faults/test_mutated_files.py::test_300_mutated_files",
    "meta/test_sampler.py::test_scale_free_samplers_begin_with_the_gates_that_are_expected[200",
    "meta/test_sampler.py::test_scale_free_samplers_begin_with_the_gates_that_are_expected[30",
    "methods/test_famus.py::test_one_replica_is_two_replicas[one_loop_every_2",
    "methods/test_famus.py::test_one_replica_is_two_replicas[validation_mean",
    "methods/test_mixing_baselines.py::test_mentormix_draws_partners_by_the_softmax_of_trust",
    "methods/test_schedules.py::test_fit_takes_a_meta_step_every_so_many_steps[2",
    "networks/test_applications.py::test_weights_of_a_file_and_their_preprocessing[inception_resnet_v2",
    "networks/test_families.py::test_famus_step_with_long_tail_losses",
    "networks/test_families.py::test_meta_gradient_of_each_family[Inception-ResNet blocks",
    "networks/test_families.py::test_meta_gradient_of_each_family[resnet32",
    "reports/test_gates.py::test_pictures_of_the_selected_layers",
    "reports/test_gates.py::test_statistics_of_a_resumed_run_are_those_of_its_records",
    "test_documented_commands.py::test_quick[python -m benchmarks.memory",
)


def _is_there(place):
    file, _, test = place.partition("::")
    return f"def {test.partition('[')[0]}(" in (HERE / file).read_text("utf-8")


def pytest_collection_modifyitems(items):
    """Marks what is quick, and what is slow."""
    assert all((HERE / place).exists() for place in QUICK)
    assert all(_is_there(place) for place in SLOW)
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        if f"{path}::{item.name}".startswith(SLOW):
            item.add_marker("slow")
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
