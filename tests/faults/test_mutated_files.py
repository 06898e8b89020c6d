"""A few hundred of the damaged files of `tests.faults.mutate`: each is read or refused in one line."""

import pytest

from tests.faults import file_samples, mutate


def test_whole_files_are_read(tmp_path):
    for name, sample in file_samples.make(str(tmp_path)).items():
        path = tmp_path / f"file{sample.ending}"
        path.write_bytes(sample.data)
        if name == "npz":  # an archive in place of an array
            with pytest.raises(file_samples.errors.InputError, match="expected a list of class ids"):
                sample.read(str(path))
        else:
            sample.read(str(path))


def test_300_mutated_files():
    counts, faults = mutate.run(300, seed=1)
    assert not faults
    assert sum(sum(found.values()) for found in counts.values()) == 300
    # Some changes do no harm: not all is refused.
    assert sum(found.get("ok", 0) for found in counts.values()) >= 10
