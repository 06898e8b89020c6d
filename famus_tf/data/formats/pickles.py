"""Reads pickles from outside: containers, numbers, texts and NumPy arrays, and nothing that they could call.

Python's own unpickler calls what a pickle names and hashes what it holds, and NumPy takes the state of an array or of a
dtype on trust. Here a small machine follows the instructions, to which NumPy's names are mere words; an array is made
of its bytes by checked code.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from famus_tf import errors
from famus_tf.files import plain_text

# Each makes an object of some 60 bytes; the largest pickle of CIFAR-100 has about 300,000.
_MOST_INSTRUCTIONS = 2**22
_MOST_DEPTH = 32
_MOST_DIMENSIONS = 32
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
# NumPy 2 has moved its modules, files of both kinds are about; Python 2 called its built-in names otherwise.
_KNOWN = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "reconstruct" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "frombuffer" for core in ("core", "_core")},
    **{(module, "bytes"): "bytes" for module in ("builtins", "__builtin__")},
}
_PLAIN = (str, bytes, int, float, bool, type(None))


@dataclasses.dataclass(frozen=True)
class _Word:
    """Stands for one of the known names."""

    text: str


@dataclasses.dataclass(eq=False)
class _Dtype:
    code: str
    order: str = "="


@dataclasses.dataclass(eq=False)
class _Array:
    """`made` is None until its state has been read."""

    made: np.ndarray | None = None


class _Mark:
    """Where the entries of a container begin."""


def load(data: bytes, where: str) -> Any:
    """Reads one pickle of any protocol.

    Args:
        data: the pickle.
        where: its file, for errors.

    Returns:
        Dicts with texts as keys, lists, tuples, numbers, texts, of Python 2 as bytes, and arrays of numbers, which
        cannot be written to.

    Raises:
        errors.InputError: it asks for anything else, is broken, or is larger or deeper than a data set's.
    """
    with errors.reading(where, "a pickle of NumPy arrays"):
        return _Machine(where).run(data)


def whole_numbers(value: Any) -> np.ndarray | None:
    """The array that a pickle or JSON holds as an array or as a list of whole numbers; None where it is neither."""
    if isinstance(value, np.ndarray):
        return value
    # The types first: of a list of lists NumPy would make an array of any size.
    if not isinstance(value, list) or not value or any(type(entry) is not int for entry in value):
        return None
    return np.array(value, np.int64) if max(map(abs, value)) < 2**63 else None


class _Machine:
    """Follows the instructions, which `pickletools` names and describes."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._may_encode = 0  # bytes; one text can be encoded again and again
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda arg: None),
            **dict.fromkeys(_WITH_VALUE, self._stack.append),
            "BYTEARRAY8": lambda arg: self._stack.append(bytes(arg)),
            **{name: self._constant(make) for name, make in _MAKERS.items()},
            **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), self._python_2_text),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda arg: self._stack.append(self._memo[arg])),
            "MEMOIZE": lambda arg: self._put(len(self._memo)),
            "APPEND": lambda arg: self._extend([self._stack.pop()]),
            "APPENDS": lambda arg: self._extend(self._since_mark()),
            "SETITEM": lambda arg: self._set([self._stack.pop(-2), self._stack.pop()]),
            "SETITEMS": lambda arg: self._set(self._since_mark()),
            "LIST": lambda arg: self._stack.append(self._since_mark()),
            "TUPLE": lambda arg: self._stack.append(tuple(self._since_mark())),
            "DICT": self._dict,
            **{f"TUPLE{count}": self._tuple(count) for count in (1, 2, 3)},
            "GLOBAL": lambda arg: self._name(*arg.split(" ")),
            "STACK_GLOBAL": lambda arg: self._name(self._stack.pop(-2), self._stack.pop()),
            "REDUCE": self._call,
            "BUILD": self._build,
            **dict.fromkeys(("PERSID", "BINPERSID"), self._refuse_reference),
        }

    def run(self, data: bytes) -> Any:
        """The object that the pickle ends with."""
        file = io.BytesIO(data)
        self._may_encode = len(data)
        for _ in range(_MOST_INSTRUCTIONS):
            code = file.read(1)
            if not code:
                raise ValueError("it is cut short")
            operation = pickletools.code2op[code.decode("latin-1")]
            if operation.name == "STOP":
                return _finished(self._stack.pop(), 0, {})
            step = self._steps.get(operation.name)
            if step is None:
                raise errors.InputError(
                    f"{self._where}: this pickle has the instruction {operation.name}, which arrays of numbers do not "
                    "need; refused"
                )
            if operation.name == "STRING":  # its reader knows ASCII only
                argument = file.readline()
            else:
                argument = operation.arg.reader(file) if operation.arg else None
            step(argument)
        raise errors.InputError(f"{self._where}: more than {_MOST_INSTRUCTIONS:,} instructions in a pickle; refused")

    def _constant(self, make: Callable[[], Any]) -> Callable[[Any], None]:
        return lambda arg: self._stack.append(make())

    def _tuple(self, count: int) -> Callable[[Any], None]:
        def step(arg):
            entries = tuple(self._stack[-count:])
            if len(entries) != count:
                raise ValueError("nothing to make a tuple of")
            del self._stack[-count:]
            self._stack.append(entries)

        return step

    def _python_2_text(self, arg: str | bytes) -> None:
        if isinstance(arg, bytes):
            arg = arg.strip()
            if len(arg) < 2 or arg[:1] != arg[-1:] or arg[:1] not in (b"'", b'"'):
                raise ValueError("a text without quotes")
            self._stack.append(codecs.escape_decode(arg[1:-1])[0])
        else:
            self._stack.append(arg.encode("latin-1"))

    def _put(self, arg: int) -> None:
        self._memo[arg] = self._stack[-1]

    def _since_mark(self) -> list[Any]:
        for position in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[position], _Mark):
                entries = self._stack[position + 1 :]
                del self._stack[position:]
                return entries
        raise ValueError("no mark")

    def _extend(self, entries: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise ValueError("appends to what is no list")
        self._stack[-1].extend(entries)

    def _set(self, entries: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(entries) % 2:
            raise ValueError("sets entries of what is no dict")
        for key, value in zip(entries[::2], entries[1::2], strict=True):
            # Any other key can be made such that its hash takes for ever.
            if not isinstance(key, str | bytes):
                raise errors.InputError(
                    f"{self._where}: holds a dict with a key of type {type(key).__name__}, expected texts as keys"
                )
            target[key] = value

    def _dict(self, arg: None) -> None:
        entries = self._since_mark()
        self._stack.append({})
        self._set(entries)

    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name that is no text")
        if (module, name) not in _KNOWN:
            asked = plain_text.escaped(f"{module[:100]}.{name[:100]}")
            raise errors.InputError(
                f"{self._where}: this pickle asks for {asked}, which could run code; refused: "
                "expected arrays of numbers only"
            )
        self._stack.append(_Word(_KNOWN[module, name]))

    def _refuse_reference(self, arg: Any) -> None:
        # PyTorch keeps its tensors that way.
        raise errors.InputError(f"{self._where}: refers to data outside of the pickle; expected NumPy arrays")

    def _call(self, arg: None) -> None:
        given = self._stack.pop()
        called = self._stack.pop()
        if not isinstance(called, _Word) or not isinstance(given, tuple):
            raise ValueError("calls what is no function")
        made = _CALLS[called.text](*given)
        if isinstance(made, bytes):
            self._may_encode -= len(made)
            if self._may_encode < 0:
                raise ValueError("more bytes than it has itself")
        self._stack.append(made)

    def _build(self, arg: None) -> None:
        state = self._stack.pop()
        built = self._stack[-1]
        if isinstance(built, _Dtype):
            _set_dtype(built, *state)
        elif isinstance(built, _Array) and built.made is None:
            _, shape, dtype, is_fortran, content = state
            built.made = _make_array(content, dtype, shape, "F" if is_fortran else "C")
        else:
            raise ValueError("gives a state to what has none")


def _text(value: Any) -> str:
    """The text that the value is. Nothing else may get into a message: of tuples in tuples it could have no end."""
    if not isinstance(value, str | bytes):
        raise ValueError("no text where one belongs")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _Word("ndarray"):
        raise ValueError("an array of a kind of its own")
    return _Array()


def _new_dtype(code: Any, align: Any, copy: Any) -> _Dtype:
    code = _text(code)
    if code not in _NUMBERS:
        raise ValueError(f"dtype {code[:20]!r}, expected one of {', '.join(_NUMBERS)}")
    return _Dtype(code)


def _set_dtype(dtype: _Dtype, version: Any, order: Any, *rest: Any) -> None:
    # subdtype, names, fields, size and alignment (-1: those of the code), flags and perhaps metadata.
    order = _text(order)
    if order not in ("<", ">", "|", "=") or rest[:3] != (None,) * 3 or rest[3:6] != (-1, -1, 0) or any(rest[6:]):
        raise ValueError("a dtype that is no plain number's")
    dtype.order = order


def _make_array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    order = _text(order)
    if not isinstance(content, bytes) or not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise ValueError("an array that is not made of bytes")
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array without a shape")
    stored = np.dtype(dtype.code).newbyteorder(dtype.order)
    if math.prod(shape) * stored.itemsize != len(content):
        raise ValueError(f"{len(content):,} bytes for an array of shape {shape} of {stored}")
    return np.ndarray(shape, stored, content, order=order)


def _encode(text: Any, encoding: Any) -> bytes:
    """`_codecs.encode`, as pickles of protocol 2 write bytes; for the one encoding that they use."""
    if not isinstance(text, str) or _text(encoding) != "latin1":
        raise ValueError("an encoding other than latin1")
    return text.encode("latin1")


def _finished(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """The value with its arrays in place; what is held several times is looked at once."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _Array) and value.made is not None:
        return value.made
    if not isinstance(value, dict | list | tuple):
        raise ValueError("holds what is no value")
    if depth == _MOST_DEPTH:
        raise ValueError(f"more than {_MOST_DEPTH} containers in each other")
    if id(value) not in seen:
        seen[id(value)] = None  # until it is done: one that holds itself is no value
        if isinstance(value, dict):
            seen[id(value)] = {key: _finished(entry, depth + 1, seen) for key, entry in value.items()}
        else:
            entries = (_finished(entry, depth + 1, seen) for entry in value)
            seen[id(value)] = type(value)(entries)
    if seen[id(value)] is None:
        raise ValueError("holds itself")
    return seen[id(value)]


_CALLS: dict[str, Callable[..., Any]] = {
    "reconstruct": _reconstruct,
    "frombuffer": lambda content, dtype, shape, order: _Array(_make_array(content, dtype, shape, order)),
    "dtype": _new_dtype,
    "encode": _encode,
    "bytes": lambda: b"",
}
_WITH_VALUE = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
)
_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": _Mark,
}
