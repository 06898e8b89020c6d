"""Files and names that used to end in a traceback: each is one line that names the file, or is read."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from famus_tf import errors, main
from famus_tf.config.data import DataConfig
from famus_tf.data.formats import archives
from famus_tf.data.images import image_files
from famus_tf.data.labels import noise_file
from famus_tf.data.sets import own_images
from famus_tf.files import plain_text
from famus_tf.networks import keras_file
from tests.faults import file_samples, image_samples

_LABELS = np.arange(6, dtype=np.int32) % 4


_CONTENT = pickle.dumps({"a": [1]}, 2)


def _zip(content=_CONTENT):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels/data.pkl", content)
    return bytearray(file.getvalue())


def _damaged():
    data = _zip()
    data[data.index(b"data.pkl") + 12] ^= 1
    return bytes(data)


def _encrypted():
    data = _zip()
    for start, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(start) + offset] |= 1
    return bytes(data)


def _npy(shape):
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def _npz():
    file = io.BytesIO()
    np.savez(file, _LABELS)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", _damaged(), "Bad CRC-32"),
        ("a.pt", _encrypted(), "encrypted"),
        ("a.pt", bytes(_zip(pickle.dumps({3: [1]}, 2))), "key of type int"),
        ("a.pt", bytes(_zip(b"]" * 100_000 + b"a" * 99_999 + b".")), "containers in each other"),
        ("a.npy", b"", "expected a list of class ids"),
        ("a.npy", _npy("(1000000000000,)"), "expected a list of class ids"),
        ("a.npy", _npy("(-1,)"), "expected a list of class ids"),
        ("a.npy", _npz(), "expected a list of class ids"),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, "RecursionError"),
        ("a.json", b"[" + b"9" * 10_000 + b"]", "expected a list of class ids"),
        ("a.json", b"[1e999, NaN]", "no list of whole numbers"),
        ("a.json", b"\xff\xfe", "UnicodeDecodeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # a zip's bytes have the time in them
)
def test_files_of_labels(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.InputError, match=message) as caught:
        noise_file.read(str(tmp_path / name), "", _LABELS, 4)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_flipped_byte_in_a_compressed_archive(tmp_path):
    data, path = bytearray(file_samples.make(str(tmp_path))["tar.gz"].data), tmp_path / "a.tar.gz"
    path.write_bytes(data)
    assert set(archives.read_tar(str(path), {"one"})) == {"one"}
    data[-6] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match=r"a\.tar\.gz: not readable \(CRC check failed"):
        archives.read_tar(str(path), {"one"})


def test_a_flipped_byte_in_a_network(tmp_path):
    data, path = bytearray(file_samples.make(str(tmp_path))["keras"].data), tmp_path / "a.keras"
    for position in range(40, len(data), len(data) // 12):
        changed = bytearray(data)
        changed[position] ^= 4
        path.write_bytes(changed)
        try:
            keras_file.load(str(path), (4, 4, 3), 4)
        except errors.InputError as error:
            assert "a.keras" in str(error) and "\n" not in str(error)
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match=r"a\.keras"):
        keras_file.load(str(path), (4, 4, 3), 4)


def _fill(folder, *classes):
    for name in classes:
        place = os.path.join(os.fsencode(folder), name)
        os.makedirs(place)
        for number in range(4):
            with open(os.path.join(place, b"%d.png" % number), "wb") as file:
                file.write(image_samples.make()["PNG"])
    return str(folder)


def test_a_class_folder_that_links_to_itself(tmp_path):
    folder = _fill(tmp_path / "data", b"a", b"b")
    os.symlink("c", os.path.join(folder, "c"))
    with pytest.raises(errors.InputError, match=r"/c: not readable \(.*symbolic links"):
        own_images.load_folder(folder, DataConfig(image_size=12, resize=16))


def test_names_that_are_no_utf_8_or_hold_commands_for_a_terminal(tmp_path):
    folder = _fill(tmp_path / "data", b"a\x1b[31m\x07\n", b"b\xff")
    os.rename(os.path.join(os.fsencode(folder), b"b\xff/0.png"), os.path.join(os.fsencode(folder), b"b\xff/\xe9.png"))
    source = own_images.load_folder(folder, DataConfig(image_size=12, resize=16))
    assert source.class_names == (r"a\x1b[31m\x07\n", r"b\xff")
    sizes, broken = image_files.scan(source.train_images)
    assert not broken and len(sizes) == len(source.train_labels)
    assert image_files.as_array(source.train_images, np.arange(len(source.train_labels))).shape[1:] == (12, 12, 3)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *(("å, 9 and 'b\"", "å, 9 and 'b\""), ("\x1b]0;x\x07", r"\x1b]0;x\x07"), ("a\nb\r", r"a\nb\r")),
        *(("\udcff", r"\xff"), ("\u202eabc", r"\u202eabc"), ("\x9b", r"\x9b"), ("\ud800", r"\ud800")),
    ],
)
def test_text_as_it_is_shown(text, shown):
    assert plain_text.escaped(text) == shown


@pytest.mark.parametrize("flag", ["--epochs=1e23", "--epochs=" + "9" * 5000, "--data_dir=a\0b"])
def test_flags_that_no_run_can_have(flag, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = "folder" if "data_dir" in flag else "digits"
    assert main.main(["famus_tf", f"--dataset={dataset}", "--epochs=1", "--network=small_preact", flag]) == 2
    said = capsys.readouterr().err
    assert flag[:9] in said and said.count("\n") == 1 and "\0" not in said
