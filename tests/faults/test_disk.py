"""A few hundred of the folder trees of `tests.faults.disk`."""

import pytest

from tests.faults import disk


@pytest.mark.slow
def test_200_trees():
    counts = disk.run(200)
    # Some trees are whole and some are not: the rest of the test is in `disk.check`.
    assert counts["read"] >= 60 and counts["refused"] >= 20
