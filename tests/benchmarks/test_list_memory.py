"""The memory of an epoch over a list, measured on a short one."""

import json

from benchmarks import list_memory


def test_one_short_list(tmp_path, capsys):
    assert list_memory.main(["--entries=2570", f"--json={tmp_path / 'found.json'}"]) == 0
    said = capsys.readouterr().out
    assert "10 tenths of the epoch" in said and "MiB over 2,570 entries" in said
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert len(found["tenths"]) == 10 and min(found["listed"], *found["tenths"]) > 2**26


def test_the_list_names_every_image(tmp_path):
    lines = list_memory.make_list(tmp_path, 1203).read_text().splitlines()
    assert lines[0] == "0000/0000000.jpg 0" and lines[-1] == "0001/0001202.jpg 2" and len(lines) == 1203
    assert all((tmp_path / line.split()[0]).is_file() for line in lines)


def test_a_mistake_is_one_line(tmp_path, capsys):
    assert list_memory.main(["--entries=5"]) == 2
    assert "--entries=5: expected 2560 or more" in capsys.readouterr().err
    assert list_memory.main(["--entries=2560", f"--json={tmp_path / 'nowhere' / 'a.json'}"]) == 2
    assert "--json=" in capsys.readouterr().err
