"""Times taken alternately, A B C A B C ..., and compared pair by pair: a machine that slows down slows all of them."""

import dataclasses
import math
import time

import numpy as np

WARM_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds per step, an entry for each round.

    Attributes:
      seconds: list of float, elapsed.
      cpu_seconds: list of float, of processor time over all threads, which other programs on the machine disturb less.
    """

    seconds: list
    cpu_seconds: list


def first_step(steps):
    """Seconds of the first step (with `meta_every`, of the first whole period), and the part that tracing takes.

    What is neither tracing nor a step's usual time goes to TensorFlow's graph optimizer and to the making of kernels.

    Returns:
      (seconds with tracing, seconds of tracing; None where the steps cannot be traced without running).
    """
    start = time.perf_counter()
    apart = steps.trace()
    traced = time.perf_counter() - start if apart else None
    for _ in range(steps.period):
        steps.step()
    return time.perf_counter() - start, traced


def steps_per_sample(steps, seconds):
    """Number of steps that take about `seconds` or longer, whole periods."""
    start = time.perf_counter()
    count = math.ceil(WARM_STEPS / steps.period) * steps.period
    for _ in range(count):
        steps.step()
    each = (time.perf_counter() - start) / count
    return math.ceil(max(1.0, seconds / each) / steps.period) * steps.period


def sample(steps, count):
    """Seconds per step of `count` steps in a row, each finished before the next: (elapsed, of processor time)."""
    start, start_cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        steps.step()
    return (time.perf_counter() - start) / count, (time.process_time() - start_cpu) / count


def rounds(all_steps, counts, number, progress=lambda done: None):
    """Times all alternately, `number` times.

    Args:
      all_steps: dict key -> object with `step()`.
      counts: dict key -> steps in a sample.
      number: of rounds.
      progress: function (rounds done).

    Returns:
      Dict key -> `Times`, an entry for each round.
    """
    times = {key: Times([], []) for key in all_steps}
    for done in range(number):
        for key, steps in all_steps.items():
            seconds, cpu_seconds = sample(steps, counts[key])
            times[key].seconds.append(seconds)
            times[key].cpu_seconds.append(cpu_seconds)
        progress(done + 1)
    return times


def ratio(seconds, reference):
    """The ratio of two series of times taken in the same rounds, pair by pair.

    Args:
      seconds, reference: lists of equal length.

    Returns:
      Dict with the `median`, the quartiles `low` and `high`, and the number of `rounds`.
    """
    ratios = np.asarray(seconds, float) / np.asarray(reference, float)
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high), "rounds": len(ratios)}
