"""Two worker processes against one process with the same global batch: how far their numbers are apart.

    python -m benchmarks.workers --json=benchmarks/results/workers.json
    python -m benchmarks.workers --data=digits --algorithm=1 --norm=none

Trains each of data set x algorithm x BatchNorm (none, per replica, synchronised) two or three times: by two workers; by
the process that is the same to the last formula, one replica of the global batch or, where BatchNorm normalises each
replica's share by itself, two replicas in one process; of Algorithm 2 by two replicas in any case, to compare them with
one.

Sums over replicas are taken in another order than over a batch, so the runs differ by roundings, and training doubles
such a difference every few steps: in float32 to a few percent within six steps of one case. So everything is computed
in float64, where even the last step is either equal but for roundings or a mistake.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from benchmarks import free_ports, record
from famus_tf import networks
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe

_ROOT = pathlib.Path(__file__).resolve().parent.parent
ALIKE = 1e-7  # of the largest number of the group: what roundings of float64 may come to in a few hundred steps
_COMMON = ("--noise=symmetric", "--noise_rate=0.4", "--batch_size=32", "--checkpoint_every=1000000")
_ALGORITHMS = {
    "1": (
        ("--meta_batch_size=32", "--epochs=0", "--train_steps={steps}", "--lr_schedule=cosine"),
        6,
    ),
    "2": (
        (
            "--algorithm=co_divide",
            "--meta_set=pseudo_clean",
            "--meta_per_class=0",
            "--meta_from_epoch=1",
            "--batches_per_epoch=20",
            "--meta_batch_size=16",
            "--epochs={epochs}",
        ),
        24,  # ten steps of the warm-up of each network, and four of what follows
    ),
}
_DATA = {"digits": (8, 8, 1), "fashion_mnist": (28, 28, 1)}
# The learning rate of each kind; without BatchNorm the network does not learn at a higher one.
NORMS = {"none": 0.005, "per replica": 0.05, "synchronised": 0.05}


def make_network(norm, image_shape, path):
    """Writes `small_preact` in float64 with BatchNorm of that kind, or without, to a .keras file.

    Args:
      norm: one of `NORMS`.
      image_shape: (height, width, channels).
      path: of the file.
    """
    keras.utils.set_random_seed(0)

    def changed(layer):
        settings = layer.get_config() | {"dtype": "float64"}
        if isinstance(layer, keras.layers.BatchNormalization):
            if norm == "none":
                return keras.layers.Activation("linear", dtype="float64", name=layer.name)
            settings["synchronized"] = norm == "synchronised"
        return layer.__class__.from_config(settings)

    def called(layer, *inputs, **options):
        options.pop("mask", None)  # which BatchNorm alone takes; there is none
        return layer(*inputs, **options)

    mean, std = [128.0] * image_shape[2], [64.0] * image_shape[2]
    network = networks.build("small_preact", image_shape, 10, mean, std)
    keras.models.clone_model(network, clone_function=changed, call_function=called).save(path)


def _start(folder, name, arguments, flags, cluster=None, index=0):
    out = folder / f"{name}.npz"
    places = [str(out), *arguments, "--", *flags, f"--workdir={folder / name}"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    if cluster:
        task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
        environment |= {"TF_CONFIG": json.dumps(task)}
    command = [sys.executable, "-m", "benchmarks.workers_run", *places]
    return out, subprocess.Popen(
        command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _numbers(started):
    """What the processes have kept; InputError where one has failed."""
    try:
        for out, process in started:
            output, _ = process.communicate()
            if process.returncode:
                last = output.strip().splitlines()[-1]
                raise InputError(f"{out.stem}: ended with status {process.returncode}: {last}")
    finally:
        for _, process in started:
            process.kill()
    numbers = []
    for out, _ in started:
        with np.load(out) as arrays:
            numbers.append(dict(arrays))
    return numbers


def apart(actual, expected, step):
    """{group: largest difference in parts of the group's largest number} at a step, "end" for the last.

    Args:
      actual, expected: {"step/group/network/number": array}, of the same names.
      step: the first part of the names.
    """
    names = [name for name in expected if name.startswith(f"{step}/")]
    differences = {}
    largest = {}
    for name in names:
        group = name.split("/")[1]
        number = expected[name]
        difference = float(np.abs(actual[name] - number).max(initial=0.0))
        differences[group] = max(differences.get(group, 0.0), difference)
        largest[group] = max(largest.get(group, 0.0), float(np.abs(number).max(initial=0.0)))
    return {group: value / (largest[group] or 1.0) for group, value in differences.items()}


def compare(data, algorithm, norm, steps, folder):
    """One row: trains the variants, and says how far each is from the process that is the same by its formulas."""
    flags, early = _ALGORITHMS[algorithm]
    values = {"steps": steps, "epochs": max(2, steps // 20)}
    network = folder / "network.keras"
    make_network(norm, _DATA[data], network)
    common = [f"--dataset={data}", *_COMMON, *(flag.format(**values) for flag in flags), f"--network={network}"]
    common.append(f"--base_learning_rate={NORMS[norm]}")
    at = [f"--at={early}"]
    cluster = free_ports.find(2)
    chief, other = _numbers(
        [
            _start(folder, f"worker{index}", at, [*common, "--strategy=multi_worker"], cluster, index)
            for index in range(2)
        ]
    )
    two_replicas = ["--replicas=2", *at], [*common, "--strategy=mirrored"]
    one_replica = at, [*common, "--strategy=one_device"]
    same = two_replicas if norm == "per replica" else one_replica
    expected = _numbers([_start(folder, "same", *same)])[0]
    variants = {"two workers": chief}
    if algorithm == "2" and norm != "per replica":
        variants["two replicas"] = _numbers([_start(folder, "mirrored", *two_replicas)])[0]
    row = {
        "data": data,
        "algorithm": algorithm,
        "BatchNorm": norm,
        "steps": int(chief["step"]),
        "early_steps": early,
        "workers_identical": all(np.array_equal(chief[name], other[name]) for name in chief),
        "test_accuracy": {
            name: float(numbers["accuracy"][-1]) for name, numbers in ({"one process": expected} | variants).items()
        },
    }
    for name, numbers in variants.items():
        row[name] = {"early": apart(numbers, expected, early), "end": apart(numbers, expected, "end")}
    return row


def _describe(row):
    name = f"{row['data']}, Algorithm {row['algorithm']}, BatchNorm {row['BatchNorm']}"
    figures = []
    for variant in ("two workers", "two replicas"):
        if variant in row:
            early, end = (max(row[variant][when].values()) for when in ("early", "end"))
            figures.append(f"{variant} {early:.1e} after {row['early_steps']}, {end:.1e} after {row['steps']}")
    identical = "alike to the last bit" if row["workers_identical"] else "NOT alike"
    return f"{name}: {'; '.join(figures)}; the workers {identical}"


def main(argv=None):
    """Runs one command line and returns the exit status: 1 where workers differ by more than rounding."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=_DATA, help="one of the data sets")
    parser.add_argument("--algorithm", choices=_ALGORITHMS, help="one of the algorithms")
    parser.add_argument("--norm", choices=NORMS, help="one kind of BatchNorm")
    parser.add_argument("--steps", type=int, default=200, help="about the length of a run")
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = parser.parse_args(argv)
    made = record.Record(arguments)
    rows = []
    data = [arguments.data] if arguments.data else _DATA
    algorithms = [arguments.algorithm] if arguments.algorithm else _ALGORITHMS
    norms = [arguments.norm] if arguments.norm else NORMS
    cases = list(itertools.product(data, algorithms, norms))
    for number, case in enumerate(cases, start=1):
        print(f"[{number} of {len(cases)}]", end=" ", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows.append(compare(*case, arguments.steps, pathlib.Path(folder)))
            except InputError as error:
                print(f"{parser.prog}: error: {', '.join(case)}: {error}", file=sys.stderr)
                return 2
        print(_describe(rows[-1]), flush=True)
        if arguments.json:
            made.write(arguments.json, rows=rows)
    return 1 if any(_is_wrong(row) for row in rows) else 0


def _is_wrong(row):
    variants = [row[variant] for variant in ("two workers", "two replicas") if variant in row]
    return not row["workers_identical"] or any(max(differences["end"].values()) > ALIKE for differences in variants)


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
