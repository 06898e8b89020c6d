"""Pickles from outside: arrays of numbers are read, whatever else one could hold is refused and nothing is called."""

import os
import pickle
import struct

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.formats import pickles

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class _Evil:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


class _Call:
    """Pickled as a call with a state, so that a test can forge one."""

    def __init__(self, function, arguments, state=None):
        self._parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self._parts


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_containers_are_read(protocol):
    value = {"labels": [1, -2, 2**40], b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "n": ("x", 1.5, None, True)}
    found = pickles.load(pickle.dumps(value, protocol), "f")
    assert list(found) == list(value)
    np.testing.assert_array_equal(found[b"data"], value[b"data"])
    assert found[b"data"].dtype == np.uint8
    assert found["labels"] == value["labels"] and found["n"] == value["n"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("code", ["?", "i1", "<i2", ">i4", "<i8", "u1", ">u2", "<f2", "<f4", ">f8"])
@pytest.mark.parametrize("form", ["c", "fortran", "scalar", "empty"])
def test_arrays_of_all_numbers(protocol, code, form):
    array = np.arange(6).astype(code).reshape(2, 3)
    forms = {"fortran": np.asfortranarray(array), "scalar": array[1, 1:2].reshape(()), "empty": array[:0]}
    array = forms.get(form, array)
    found = pickles.load(pickle.dumps([array, array], protocol), "f")
    for other in found:
        assert other.dtype == array.dtype and other.shape == array.shape
        np.testing.assert_array_equal(other, array)


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_of_numpy_1_and_2(core, protocol):
    made = pickle.dumps(np.arange(3, dtype=np.int32), protocol)
    here, there = (f"numpy.{name}.".encode() for name in ("_core" if b"numpy._core." in made else "core", core))
    if protocol >= 4:
        # A short text, and the frame around it, have their lengths before them.
        name = next(name for name in (b"multiarray", b"numeric") if here + name in made)
        old, new = here + name, there + name
        made = made.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
        made = made[:3] + struct.pack("<Q", len(made) - 11) + made[11:]
    made = made.replace(here, there)
    np.testing.assert_array_equal(pickle.loads(made), [0, 1, 2])
    np.testing.assert_array_equal(pickles.load(made, "f"), [0, 1, 2])


def test_a_file_of_python_2():
    """What CIFAR's files are: texts of 8 bits, an array of protocol 2 whose state is such a text, names and all."""
    text = (
        b"(dp1\nS'data'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntp5\nS'b'\np6\ntp7\n"
        b"Rp8\n(I1\n(I2\nI3\ntp9\ncnumpy\ndtype\np10\n(S'u1'\np11\nI0\nI1\ntp12\nRp13\n(I3\nS'|'\np14\nNNNI-1\nI-1\nI0\n"
        b"tp15\nbI00\nS'\\x00\\x01\\xff\\x03\\x04\\n'\np16\ntp17\nbsS'labels'\np18\n(lp19\nI6\naI9\nas."
    )
    found = pickles.load(text, "f")
    np.testing.assert_array_equal(found[b"data"], [[0, 1, 255], [3, 4, 10]])
    assert found[b"labels"] == [6, 9]
    np.testing.assert_array_equal(pickle.loads(text, encoding="bytes")[b"data"], found[b"data"])


def test_arrays_cannot_be_written_to_and_a_value_held_twice_is_one():
    array = np.arange(4)
    found = pickles.load(pickle.dumps([array, array]), "f")
    assert found[0] is found[1]
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_code_in_a_pickle_does_not_run(protocol, tmp_path):
    harm = tmp_path / "harm"
    for value in (_Evil(str(harm)), {b"data": [_Evil(str(harm))]}):
        with pytest.raises(errors.InputError, match=r"asks for (posix|nt)\.mkdir, which could run code; refused"):
            pickles.load(pickle.dumps(value, protocol), "evil_batch")
    assert not harm.exists()


def _dtype(*state):
    return _Call(np.dtype, ("u1", False, True), state)


def _array(content, dtype, shape):
    reconstruct = np.zeros(1).__reduce__()[0]
    return _Call(reconstruct, (np.ndarray, (0,), b"b"), (1, shape, dtype, False, content))


PLAIN = (3, "|", None, None, None, -1, -1, 0)
FORGED = {
    "an array called at an address": _Call(np.ndarray, ((4,), np.dtype("u1"), b"abcd")),
    "a dtype with a hidden object": _array(b"\x08" * 8, _dtype(3, "|", None, None, None, 8, 8, 63), (1,)),
    "a dtype with fields": _array(b"\0" * 8, _dtype(3, "|", None, ("a",), {"a": (np.dtype("u1"), 0)}, 8, 1, 0), (1,)),
    "a dtype in a dtype": _array(b"\0" * 8, _dtype(3, "|", (np.dtype("u1"), (8,)), None, None, 8, 1, 0), (1,)),
    "a dtype with a size of its own": _array(b"\0" * 8, _dtype(3, "|", None, None, None, 2**40, 1, 0), (1,)),
    "a dtype with metadata": _array(b"\0" * 8, _dtype(4, "|", None, None, None, -1, -1, 0, {"a": 1}), (8,)),
    "objects": _array([1, 2], _Call(np.dtype, ("O", False, True)), (2,)),
    "a list as the bytes": _array([1, 2], _dtype(*PLAIN), (2,)),
    "a shape larger than the bytes": _array(b"ab", _dtype(*PLAIN), (10**12,)),
    "a shape below zero": _array(b"ab", _dtype(*PLAIN), (-2,)),
    "two sides below zero": _array(b"ab", _dtype(*PLAIN), (-1, -2)),
    "a shape of 70 sides": _array(b"a", _dtype(*PLAIN), (1,) * 70),
    "a shape that is a text": _array(b"ab", _dtype(*PLAIN), "ab"),
    "a shape of truth values": _array(b"a", _dtype(*PLAIN), (True,)),
    "an array as a dtype": _array(b"a", np.zeros(1), (1,)),
    "a state that is a number": _Call(np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), 7),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", FORGED)
def test_forged_arrays(kind, protocol):
    with pytest.raises(errors.InputError, match=r"^f: .*expected a"):
        pickles.load(pickle.dumps({b"data": FORGED[kind]}, protocol), "f")


def _doubled(times):
    """Pairs in pairs, each twice the same: few bytes, and no end when it is walked through or written out."""
    made = b"\x80\x02(I1\nt"
    for number in range(times):
        made += b"q" + bytes([number]) + b"h" + bytes([number]) + b"\x86"
    return made


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"hello", "not readable"),
        (pickle.dumps([1, 2, 3])[:-4], "not readable"),
        (b"\x80\x04c", "not readable"),
        (b".", "IndexError"),
        (b"(.", "holds what is no value"),
        (b"0.", "instruction POP"),
        (b"cnumpy\nndarray\n.", "holds what is no value"),
        (b"cnumpy\ndtype\n(V|V8\nI0\nI1\ntR.", "dtype '|V8'"),
        (b"cbuiltins\neval\n(V1\ntR.", r"asks for builtins\.eval"),
        (b"\x80\x04Va\nVb\\u000ac\n\x93.", r"asks for a\.b\\nc"),
        (b"ccopyreg\n_reconstructor\n.", r"asks for copyreg\._reconstructor"),
        # With another codec it would, for one, unpack a zip bomb.
        (b"c_codecs\nencode\n(V00\nVhex_codec\ntR.", "encoding other than latin1"),
        (b"\x80\x04N(I1\nd.", "what is no dict"),
        (b"(I1\nI2\nd.", "key of type int"),
        (b"((I1\ntI2\nd.", "key of type tuple"),
        (b"]q\0h\0a.", "holds itself"),
        (b"(" * 100_000, "cut short"),
        (b"]" * 100_000 + b"a" * 99_999 + b".", "containers in each other"),
        (b"\x80\x02" + b"N\x85" + b"\x85" * 100_000 + b".", "containers in each other"),
        (b"I1\n" * 5_000_000 + b".", "more than 4,194,304 instructions"),
        (_doubled(100) + b".", "containers in each other"),
        (_doubled(31) + b"Va\n\x93.", "a name that is no text"),
        (b"cnumpy\ndtype\n(" + _doubled(30)[2:] + b"I0\nI1\ntR.", "no text where one belongs"),
        (b"c_codecs\nencode\n(V" + b"a" * 99 + b"\nVlatin1\ntp0\nR" + b"c_codecs\nencode\ng0\nR" * 50, "more bytes"),
        (b"Pdata/0\n.", "data outside of the pickle"),
        (b"\x8a\xff" + b"\x7f" * 255 + b"\x8a", "not readable"),
        (b"\x8e" + b"\xff" * 8 + b".", "not readable"),
        (b"\x8e" + struct.pack("<Q", 2**40) + b".", "not readable"),
        (b"I" + b"9" * 100_000 + b"\n.", "not readable"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"(inumpy\nndarray\n.", "instruction INST"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"N\x85\x81.", "instruction NEWOBJ"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_broken_and_hostile_pickles(data, message):
    with pytest.raises(errors.InputError, match=f"^batch_1: .*{message}") as caught:
        pickles.load(data, "batch_1")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [([1, 2], [1, 2]), ([], None), ([1, 2.0], None), ([1, True], None), ([[1]], None), ([2**63], None), ("12", None)],
)
def test_whole_numbers(value, expected):
    found = pickles.whole_numbers(value)
    assert (found is None) if expected is None else found.tolist() == expected
