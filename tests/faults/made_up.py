"""Gives a check what hypothesis makes up, counts how it ends, and the command line around that."""

import argparse
import collections
import sys

import hypothesis

from benchmarks import record


def count(examples, strategy, check, progress=None):
    """Calls `check` with examples of a strategy, the same in every run.

    Args:
      examples: how many, at most.
      strategy: a strategy of hypothesis.
      check: function of an example -> how it ended, a word.
      progress: called with the number of examples so far, or None.

    Returns:
      {how it ended: how often}.
    """
    counts = collections.Counter()

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def each(example):
        counts[check(example)] += 1
        if progress:
            progress(counts.total())

    each()
    return dict(counts)


def main(description, run):
    """Shows the counts of `--count` examples, and writes them to `--json`.

    Args:
      description: what the command does, one line.
      run: function of the number of examples and of `progress` -> counts, as `count` returns them.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--json", help="file for the counts")
    arguments = parser.parse_args()
    kept = record.Record(arguments)

    def progress(done):
        if done % 50 == 0:
            print(f"\r{done:,} of {arguments.count:,}", end="", file=sys.stderr, flush=True)

    counts = run(arguments.count, progress)
    print("\n" + ", ".join(f"{ended}: {number:,}" for ended, number in sorted(counts.items())))
    if arguments.json:
        kept.write(arguments.json, counts=counts)
