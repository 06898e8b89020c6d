"""A few hundred of the list files of `tests.faults.lists`."""

from tests.faults import lists


def test_200_lists():
    counts = lists.run(200)
    # Some lists are whole and some are not: the rest of the test is in `lists.check`.
    assert counts["read"] >= 20 and counts["refused"] >= 60
