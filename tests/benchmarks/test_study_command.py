"""What the commands that train one row of a study have in common."""

import pytest

from benchmarks import labels, round_trip, study_command

_BAD = [
    ("--seeds=0,x", "x: expected a whole number, 0 or more"),
    ("--row=no_such_row", "no_such_row"),
]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("command", "word", "expected"),
    [
        *[(labels, *case) for case in [*_BAD, ("--folds=1", "1: expected 2 or more")]],
        *[(round_trip, *case) for case in [*_BAD, ("--above=1", "expected a number in [0, 1)")]],
        (round_trip, "--above=half", "half"),
        (round_trip, "--set=--no_such_flag=1", "no_such_flag"),  # said by the program, in a process of its own
    ],
)
def test_bad_options(command, word, expected, tmp_path, capsys):
    """One line says what was found and what is expected."""
    try:
        status = command.main(["digits", "--study=memory", f"--runs={tmp_path}", word])
    except SystemExit as stopped:  # how argparse ends
        status = stopped.code
    assert status == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert line.startswith(f"python -m {command.__name__}: error: ") and expected in line


@pytest.mark.quick
def test_mean_and_spread():
    assert study_command.spread([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(2**0.5), "values": [1.0, 3.0]}
    assert study_command.text(study_command.spread([0.25, 0.75]), ".1%") == "50.0% ± 35.4%"
    assert study_command.text(study_command.spread([2]), ".0f") == "2"
    assert study_command.text(None, ".3f") == "n/a"
