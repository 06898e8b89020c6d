"""Flag files as people write them."""

import pytest

from famus_tf.config import command_line, config
from famus_tf.errors import InputError


def _read(tmp_path, data, *others):
    (tmp_path / "a.cfg").write_bytes(data if isinstance(data, bytes) else data.encode())
    return command_line.read_config(["main.py", f"--flagfile={tmp_path / 'a.cfg'}", *others])


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf--epochs=7\n--data_dir=my data\n",
        "--epochs=7\r\n--data_dir=my data\r\n".encode("utf-16"),
        b'--epochs="7"\n--data_dir="my data"\n',
        b"--epochs = 7\n  --data_dir='my data'\n",
        b"# a note\n//another\n\n-epochs=7\n--data_dir=my data",
        b"--epochs=7\r--data_dir=my data\r",
        b"\xef\xbb\xbf# a note\n--epochs=7\n\xef\xbb\xbf--data_dir=my data\n",
    ],
    ids=range(7),
)
def test_what_is_read(data, tmp_path):
    made = _read(tmp_path, data)
    assert (made.optimization.epochs, made.data.data_dir) == (7, "my data")
    assert made.run.workdir == "runs/a"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("--epochs=7\nseed=1\n", r"^.*a\.cfg, line 2: found 'seed=1', expected a flag, as --name=value$"),
        ("--epochs=7 \\\n--seed=1\n", r"line 1: found '--epochs=7 \\\\', expected --name=value and nothing behind it$"),
        ("--data_dir=data;\n", "line 1: found '--data_dir=data;', expected --name=value and nothing behind it$"),
        ('--data_dir="my data\n', "line 1: found '--data_dir=\"my data', whose quote is not closed; expected"),
        ("--epochs=7 # short\n", "^--epochs=7 # short: expected a whole number, 0 or more$"),
        ("caf\u00e9=1\n".encode("latin-1"), r"^--flagfile=.*a\.cfg: expected a text file in UTF-8, one flag to a line"),
        ("--epochs=7\n".encode("utf-16-le"), r"^--flagfile=.*a\.cfg: found a NUL character, expected a text file"),
        (b"\xff\xfe\x00", r"^--flagfile=.*a\.cfg: expected a text file in UTF-8"),
        ("--flagfile=b.cfg\n", r"^--flagfile=b\.cfg: cannot read it \(No such file or directory\), expected a text"),
    ],
)
def test_what_is_refused(data, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        _read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_flag_files_in_flag_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "b.cfg").write_text("--epochs=7\n--seed=3\n")
    made = _read(tmp_path, "--epochs=5\n--flagfile=~/b.cfg\n--seed=4\n", "--data_dir=x")
    assert (made.optimization.epochs, made.run.seed, made.data.data_dir) == (7, 4, "x")
    (tmp_path / "b.cfg").write_text(f"--flagfile={tmp_path}/a.cfg\n")
    with pytest.raises(
        InputError, match=r"a\.cfg: leads round to itself, by .*a\.cfg and .*b\.cfg; expected other files"
    ):
        _read(tmp_path, f"--flagfile={tmp_path}/b.cfg\n")
    with pytest.raises(InputError, match=r"^--flagfile: expected the path of a file with flags"):
        command_line.read_config(["main.py", "--flagfile"])


def test_home(tmp_path, monkeypatch):
    """A shell leaves ~ alone behind "=", and a folder of that name was made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    lists = {"train_list": "~/a.txt", "test_list": "~/b.txt", "other_test_lists": "~/c.txt,~/d.txt"}
    texts = {"workdir": "~/runs/x", "data_dir": "~", "prepared_dir": "~/copy", "network": "~/my.keras", **lists}
    made = command_line.read_config(["main.py", "--epochs=1", *(f"--{name}={text}" for name, text in texts.items())])
    for group, field in config.flag_fields():
        if field.name in texts:
            assert getattr(getattr(made, group), field.name) == texts[field.name].replace("~", str(tmp_path))
    assert config.from_values({"epochs": 1, "data_dir": "a~b/~"}).data.data_dir == "a~b/~"
    with pytest.raises(InputError, match=rf"^--flagfile={tmp_path}/no\.cfg: cannot read it"):
        command_line.read_config(["main.py", "--flagfile=~/no.cfg"])


def test_values_that_begin_with_a_quote_are_written_and_read_again(tmp_path):
    for text in ('"a"', "'a' b", '"', "a'b"):
        made = config.from_values({"epochs": 1, "data_dir": text, "noise_key": "", "workdir": "w"})
        lines = made.flag_lines()
        assert _read(tmp_path, "\n".join(lines), "--workdir=w") == made
        assert made.first_difference(lines) is None
