"""Turns and ratios on a clock of the test's own."""

import types

import pytest

from benchmarks import timing


class Clock:
    """A clock that only steps move (two threads at work all the time), and the order in which they were made."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def process_time(self):
        return 2 * self.now

    def perf_counter(self):
        return self.now

    def steps(self, name, seconds, period=1):
        """Fake steps; `seconds` gives each step's length in turn, the last one again and again."""
        lengths = list(seconds)

        def step():
            self.now += lengths.pop(0) if len(lengths) > 1 else lengths[0]
            self.order.append(name)

        def trace():
            self.now += 2.0
            return True

        return types.SimpleNamespace(step=step, trace=trace, period=period)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def test_modes_take_turns_and_groups_are_averaged(clock):
    steps = {"a": clock.steps("a", [1.0, 2.0, 4.0]), "b": clock.steps("b", [1.0, 3.0, 5.0, 7.0])}
    done = []
    found = timing.rounds(steps, {"a": 1, "b": 2}, 2, done.append)
    assert clock.order == ["a", "b", "b", "a", "b", "b"]
    assert found == {"a": timing.Times([1.0, 2.0], [2.0, 4.0]), "b": timing.Times([2.0, 6.0], [4.0, 12.0])}
    assert done == [1, 2]


def test_ratio_is_taken_pair_by_pair():
    # The machine was ten times slower in the last round; a ratio of medians would be 6 / 2.
    found = timing.ratio([2.0, 4.4, 6.0, 8.8, 40.0], [1.0, 2.0, 3.0, 4.0, 20.0])
    assert found == {"median": 2.0, "low": 2.0, "high": pytest.approx(2.2), "rounds": 5}


@pytest.mark.parametrize(
    ("each", "period", "count"), [(0.1, 1, 3), (0.1, 4, 4), (1.0, 1, 1), (1.0, 4, 4), (0.05, 4, 8)]
)
def test_a_sample_is_long_enough_and_holds_whole_periods(clock, each, period, count):
    assert timing.steps_per_sample(clock.steps("a", [each], period), 0.29) == count


def test_first_step_is_a_whole_period(clock):
    assert timing.first_step(clock.steps("a", [5.0, 1.0, 1.0, 1.0, 9.0], period=4)) == (10.0, 2.0)
