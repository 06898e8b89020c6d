"""`--mode=evaluate`: the accuracy of a run directory's SavedModel."""

import pathlib

import tensorflow as tf

from famus_tf import errors
from famus_tf.evaluation import accuracy as evaluation
from famus_tf.experiment import automatic, build_data, checks, data_of_run
from famus_tf.runs import directory as run_directory


def evaluate(config):
    """Evaluates the run directory's SavedModel on the test set and prints the accuracy."""
    workdir = pathlib.Path(config.run.workdir)
    config = checks.with_dtype_policy(automatic.with_choices(config)[0])
    run_directory.check_same_flags(workdir, config, must_exist=False)
    predict = evaluation.load_exported(workdir / "export")
    dataset = build_data.make_dataset(config.data, config.run.seed)
    dataset = data_of_run.with_class_ids_of(workdir / "export", dataset)
    strategy = tf.distribute.get_strategy()
    bad = build_data.find_bad_images(config.data, dataset, strategy, workdir)
    fitted, _ = checks.with_batch_sizes(config, dataset, replicas=1)
    batches = build_data.make_feed(
        fitted.optimization, dataset, strategy, config.run.seed, config.run.eval_batch_size, bad
    )
    data = data_of_run.fingerprint_of(dataset)
    for line in data_of_run.differences_to_tell(workdir, data, batches.evaluated):
        print(line, flush=True)
    evaluator = evaluation.make_evaluator(strategy, predict)
    try:
        found = {name: evaluator(batches.evaluation(name)) for name in batches.evaluated}
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise errors.InputError(
            f"{workdir / 'export'}: does not take images of {dataset.name}, {dataset.image_shape}"
        ) from error
    for name, logs in found.items():
        print(
            f"{workdir / 'export'} on {dataset.name}: {name} accuracy {logs['accuracy']:.4f}, "
            f"top-5 {logs['top5']:.4f}, cross-entropy {logs['loss']:.4f}, {logs['examples']:,} images"
        )
