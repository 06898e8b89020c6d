"""The command on a tiny network: what it prints, its JSON and its picture."""

import json

import pytest

from benchmarks import memory, mode_steps, modes, stages, step_cost
from benchmarks.settings import Settings
from famus_tf.devices import strategy as strategies

TINY = ["--network=small_preact", "--image_size=8", "--channels=1", "--classes=3", "--batch_size=8"]


@pytest.mark.slow
def test_json_table_and_picture(tmp_path, capsys):
    command = [*TINY, "--modes=cross_entropy,one_loop_last_block_every4", "--rounds=2", "--sample_seconds=0.01"]
    command += [f"--json={tmp_path / 'cost.json'}", f"--plot={tmp_path / 'cost.png'}", "--targets"]
    command += [f"--profile={tmp_path / 'profile'}"]
    assert step_cost.main(command) == 0
    printed = capsys.readouterr().out
    assert "| one_loop_last_block_every4 |" in printed
    assert "| cross_entropy | 1.05 |" in printed
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")

    document = json.loads((tmp_path / "cost.json").read_text())
    assert document["settings"]["network"] == "small_preact"
    assert {"commit", "command", "tensorflow", "keras", "cpus"} <= document["versions"].keys()
    assert document["cpu_model"] is not None
    assert len(document["load_average"]["start"]) == len(document["load_average"]["end"]) == 3
    plain, cross_entropy, every4 = document["results"]
    assert [r["mode"] for r in (plain, cross_entropy, every4)] == ["plain", *command[5].partition("=")[2].split(",")]
    assert plain["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0, "rounds": 2}
    ratios = [a / b for a, b in zip(cross_entropy["seconds"], plain["seconds"], strict=True)]
    assert cross_entropy["ratio"]["median"] == pytest.approx(sum(ratios) / 2)
    assert cross_entropy["units"] == 3.0
    assert every4["steps_per_sample"] % 4 == 0
    # Segments: three blocks, the BatchNorm behind them, the classifier. The last block is traversed, and what is above.
    assert (len(every4["segment_costs"]), every4["mean_lowest_segment"]) == (5, 2.0)
    share = sum(every4["segment_costs"][2:]) / sum(every4["segment_costs"])
    assert every4["units"] == pytest.approx((4 + 4 * share + 9) / 4)
    assert every4["operations"]["Conv2D"]["calls"] > plain["operations"]["Conv2D"]["calls"] > 0


@pytest.mark.slow
def test_gates_pinned_at_a_depth(tmp_path):
    command = [*TINY, "--modes=plain", "--depths=2", "--rounds=1", "--sample_seconds=0"]
    assert step_cost.main([*command, f"--json={tmp_path / 'cost.json'}"]) == 0
    _, pinned = json.loads((tmp_path / "cost.json").read_text())["results"]
    assert pinned["mode"] == "famus_gates_at_2"
    assert pinned["mean_lowest_segment"] == 1.0
    assert pinned["mean_gates_on"] < pinned["layers"]


def test_both_policies_are_timed_in_the_same_rounds(tmp_path):
    command = [*TINY, "--modes=plain", "--rounds=1", "--sample_seconds=0", "--dtype_policy=both"]
    assert step_cost.main([*command, f"--json={tmp_path / 'cost.json'}"]) == 0
    single, half = json.loads((tmp_path / "cost.json").read_text())["results"]
    assert [single["dtype_policy"], half["dtype_policy"]] == ["float32", "mixed_bfloat16"]
    gain = single["seconds"][0] / half["seconds"][0]
    assert half["gain_over_float32"]["median"] == pytest.approx(gain)
    assert half["ratio"]["median"] == 1.0


def test_the_policy_reaches_the_network_and_goes_no_further():
    network = mode_steps.build_network(Settings("small_preact", 8, 1, 3), "mixed_bfloat16")
    assert network.get_layer("stem").compute_dtype == "bfloat16"
    network = mode_steps.build_network(Settings("small_preact", 8, 1, 3), "float32")
    assert network.get_layer("stem").compute_dtype == "float32"


def test_a_step_is_traced_once(tmp_path):
    settings = Settings("small_preact", 8, 1, 3, batch_size=4)
    steps = mode_steps.make_steps(
        modes.find("one_loop_last_block_every4"), settings, "float32", strategies.make_strategy("one_device")
    )
    steps.trace()
    count = steps.tracing_count()
    assert count == 2  # with and without the meta step
    for _ in range(5):
        steps.step()
    assert steps.tracing_count() == count


@pytest.mark.slow
def test_stages(tmp_path, capsys):
    command = [*TINY, "--modes=one_loop_classifier", "--rounds=1", f"--json={tmp_path / 's.json'}"]
    assert stages.main([*command, f"--plot={tmp_path / 's.png'}"]) == 0
    assert "| Meta-Train tangent |" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["results"]["one_loop_classifier"]["Actual-Train forward"] > 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_peak_memory_of_a_process_of_its_own():
    found = memory.measure_in_new_process("plain", Settings("small_preact", 32, 1, 3, batch_size=32), "float32")
    assert 0 < found["idle"] < found["peak"]
    assert 0 < found["peak_of_steps"] <= found["peak"]
    assert 0 < found["tensors_peak"] < found["peak"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modes=famus"], "no mode 'famus'; expected plain, "),
        (["--modes=plain", "--depths=9"], "block 9: expected 1 to 3 from the input"),
        (["--json=none/such/file.json"], "--json=none/such/file.json: expected a file in a folder that exists"),
        (["--network=none"], "--network=none: "),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert step_cost.main([*TINY, *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("python -m benchmarks.step_cost: error: ")
    assert message in last
