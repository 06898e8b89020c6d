"""What methods that go on from a trained network begin with."""

import pytest

from tests import small_networks


@pytest.fixture(scope="session")
def earlier(tmp_path_factory):
    """A network in a file, of the kind that these tests train."""
    path = tmp_path_factory.mktemp("earlier") / "net.keras"
    small_networks.shaken(small_networks.convolutions(False, count=2)).save(path)
    return str(path)
