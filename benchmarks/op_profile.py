"""Where the time of a step goes, by type of operation, from TensorFlow's own profiler."""

import collections
import pathlib
import re

import tensorflow as tf

# The executor's events are called "name of the operation:its type"; the profiler's own have a double colon.
_OPERATION = re.compile(r"[^:]+:(_?[A-Z]\w*)")
# These hold other operations, which are counted themselves.
_CONTAINERS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While", "_If"})


def profile(steps, directory, count):
    """Runs `count` steps under the profiler.

    Args:
      steps: object with `step()`, already traced.
      directory: folder of its own for the trace, which TensorBoard's profile plugin can show too.
      count: of steps.

    Returns:
      Dict type of operation -> {`seconds`: per step, `calls`: per step}, the costliest first. On several cores the
      seconds of operations that ran side by side add up.
    """
    before = set(pathlib.Path(directory).rglob("*.xplane.pb"))
    tf.profiler.experimental.start(str(directory))
    for _ in range(count):
        steps.step()
    tf.profiler.experimental.stop()
    totals = collections.Counter()
    calls = collections.Counter()
    for path in set(pathlib.Path(directory).rglob("*.xplane.pb")) - before:
        for kind, seconds in _operations(path.read_bytes()):
            totals[kind] += seconds
            calls[kind] += 1
    return {kind: {"seconds": seconds / count, "calls": calls[kind] / count} for kind, seconds in totals.most_common()}


def _operations(serialized):
    """Pairs (type of operation, seconds) of the host's threads in a trace."""
    # Not part of TensorFlow's public API, but the only reader of its traces that comes with it.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(serialized)
    for plane in space.planes:
        kinds = {number: _kind(metadata.name) for number, metadata in plane.event_metadata.items()}
        if plane.name.startswith("/host:CPU"):
            for line in plane.lines:
                if not line.name.startswith("tf_data"):
                    for event in line.events:
                        if kinds[event.metadata_id]:
                            yield kinds[event.metadata_id], event.duration_ps * 1e-12


def _kind(event_name):
    matched = _OPERATION.fullmatch(event_name)
    return matched[1].removeprefix("_MklNative") if matched and matched[1] not in _CONTAINERS else None


def table(operations, reference, top=15):
    """A Markdown table of the types of operation that cost most more than in the reference.

    Args:
      operations, reference: dicts as `profile` returns, of a mode and of plain training.
      top: number of rows.
    """
    nothing = {"seconds": 0.0, "calls": 0.0}
    rows = [
        (kind, operations.get(kind, nothing), reference.get(kind, nothing)) for kind in operations.keys() | reference
    ]
    rows.sort(key=lambda row: row[2]["seconds"] - row[1]["seconds"])
    lines = [
        "| operation | ms per step | plain | difference | calls per step | plain |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, mine, plain in [*rows[:top], ("all", _sum(operations), _sum(reference))]:
        difference = mine["seconds"] - plain["seconds"]
        cells = [f"{1000 * value:.2f}" for value in (mine["seconds"], plain["seconds"], difference)]
        cells += [f"{value['calls']:.0f}" for value in (mine, plain)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sum(operations):
    return {
        "seconds": sum(value["seconds"] for value in operations.values()),
        "calls": sum(value["calls"] for value in operations.values()),
    }
