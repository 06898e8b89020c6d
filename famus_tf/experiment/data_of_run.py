"""The data of a run against those that it was made with (`runs.fingerprint`)."""

import dataclasses
import os

import numpy as np

from famus_tf import errors
from famus_tf.data.images import image_files
from famus_tf.data.source import UNKNOWN, Examples
from famus_tf.evaluation import saved_model
from famus_tf.runs import fingerprint as fingerprints

_NAMED = 10


def fingerprint_of(dataset):
    """The `runs.fingerprint.Fingerprint` of a `data.dataset.Dataset`.

    Files are named below the folder that all of them lie in, so that data may be moved, and a scaled copy is the same.
    """
    parts = {"training": Examples(dataset.train_images, dataset.train_labels), **dataset.held_out}
    paths = {name: paths_of(dataset, name, part.images) for name, part in parts.items()}
    sets = {}
    for name, part in parts.items():
        in_memory = not isinstance(part.images, image_files.ImageFiles)
        sums = fingerprints.checksums(part.images) if in_memory else None
        sets[name] = fingerprints.ExampleSet(part.labels, paths[name], sums)
    below = len(_common_folder([found for found in paths.values() if found is not None and len(found)]))
    return fingerprints.Fingerprint(dataset.class_names, dataset.image_shape, sets, below)


def check(workdir, fingerprint, sets=None, *, test_is_drawn=False):
    """Refuses, as an InputError, data that are other ones than a run was made with; says of an old run that it may be.

    Args:
      workdir: `pathlib.Path` of a run that has begun.
      fingerprint: `runs.fingerprint.Fingerprint` of the data that are there now.
      sets: names of the sets that matter; None: all.
      test_is_drawn: whether the test set is drawn out of the training images, which earlier versions did otherwise.
    """
    if fingerprints.is_known(workdir):
        difference = fingerprints.first_difference(workdir, fingerprint, sets)
    elif test_is_drawn:
        difference = "an earlier version began it, and drew another test set out of the training images"
    else:
        print(f"{workdir}: an earlier version began it, and did not keep what data it was made with", flush=True)
        names = saved_model.class_names_of(workdir / "export")
        difference = names and fingerprints.difference_of_classes(names, fingerprint.class_names)
    if difference:
        raise errors.InputError(
            f"{workdir}: made with other data; {difference}; expected the data that it was made with, or another "
            "option `workdir`"
        )


def with_class_ids_of(export, dataset):
    """The dataset with its labels as class ids of an exported network, class by class by their names.

    Args:
      export: the folder, or a Keras file in it; where it does not say which classes it has, the dataset stays as it
        is.
      dataset: `data.dataset.Dataset`; training images of classes that the network does not know are `UNKNOWN`.

    Raises:
      InputError: held-out images are of a class that the network does not know.
    """
    names = saved_model.class_names_of(export.parent if export.suffix == ".keras" else export)
    if names is None:
        print(f"{export}: does not say which classes it has; class ids are taken as they are", flush=True)
        return dataset
    if tuple(names) == dataset.class_names:
        return dataset
    ids = {name: number for number, name in enumerate(names)}
    to_id = np.array([ids.get(name, UNKNOWN) for name in dataset.class_names], np.int32)
    for name, part in dataset.held_out.items():
        unknown = np.flatnonzero(to_id[part.labels] == UNKNOWN)
        if len(unknown):
            found = dataset.class_names[part.labels[unknown[0]]]
            known = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            raise errors.InputError(
                f"{export}: class {found!r} of the {name} set is none of the {len(names)} classes that the network "
                f"knows, {known}; expected one of these"
            )
    difference = fingerprints.difference_of_classes(names, dataset.class_names)
    print(f"{export}: made with other classes; {difference}; classes are compared by their names", flush=True)

    def mapped(examples):
        return examples and dataclasses.replace(examples, labels=to_id[examples.labels])

    return dataclasses.replace(
        dataset,
        class_names=tuple(names),
        train_labels=to_id[dataset.train_labels],
        train_true_labels=None,
        meta_labels=to_id[dataset.meta_labels],
        test_labels=to_id[dataset.test_labels],
        validation=mapped(dataset.validation),
        other_tests={name: mapped(part) for name, part in dataset.other_tests.items()},
    )


def differences_to_tell(workdir, fingerprint, evaluated):
    """Lines about data that are evaluated and other ones than the run was made with.

    Args:
      workdir: `pathlib.Path`, perhaps of a run that does not know.
      fingerprint: of the data that are there now.
      evaluated: names of the sets.
    """
    if not fingerprints.is_known(workdir):
        return []
    difference = fingerprints.first_difference(workdir, fingerprint, evaluated)
    if not difference:
        return []
    lines = [f"{workdir}: made with other data; {difference}"]
    seen = fingerprints.trained_on(workdir, fingerprint, evaluated)
    if seen:
        lines.append(f"{workdir}: {len(seen):,} of the images that are evaluated were trained on, such as {seen[0]}")
    return lines


def paths_of(dataset, name, images):
    """Bytes [n], the files of a set; None of arrays that come from none."""
    if isinstance(images, image_files.ImageFiles):
        return images.paths
    files = dataset.files.get(name)
    return files if files is not None and len(files) == len(images) else None


def _common_folder(paths):
    """The longest start of all paths, of a list of arrays, that ends with a separator."""
    if not paths:
        return b""
    first, last = min(map(min, paths)), max(map(max, paths))
    length = next(
        (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[: first.rfind(os.fsencode(os.sep), 0, length) + 1]
