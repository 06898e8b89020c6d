"""The cost of a training step against plain Keras training of the same network, alternately in one process.

    python -m benchmarks.step_cost --network=preact_resnet18 --image_size=32 --batch_size=16 --rounds=10

prints a Markdown table: for every mode the median over rounds of (its time / plain Keras's time in the same round), the
cost model's prediction, the seconds of a step, of tracing and of the first step with it, and how deep the meta gradient
went. `--json` and `--plot` write the same as JSON, raw times included, and as a bar chart.
"""

import dataclasses
import pathlib
import statistics
import sys

from benchmarks import command, cost_model, memory, mode_steps, modes, op_profile, report, targets, timing
from benchmarks import settings as settings_module
from benchmarks.record import Record
from famus_tf.devices import strategy as strategies
from famus_tf.files import closed_pipe

_PROFILED_STEPS = 4


def measure(settings, mode_names, policies, *, rounds, sample_seconds, profile_directory=None):
    """Times the modes alternately.

    Args:
      settings: `settings.Settings`.
      mode_names: list of names of modes; plain Keras is added where it is missing.
      policies: dtype policies of the network, all interleaved.
      rounds: how often each mode is timed.
      sample_seconds: least length of one sample; several steps make one where they are faster.
      profile_directory: folder where each mode is profiled after the timing; None leaves it out.

    Returns:
      List of dicts that JSON can hold, one for each mode and policy.
    """
    chosen = [modes.find(name) for name in dict.fromkeys(["plain", *mode_names])]
    strategy = strategies.make_strategy("one_device")
    all_steps = {}
    results = {}
    for mode in chosen:
        for policy in policies:
            key = mode.name, policy
            steps = mode_steps.make_steps(mode, settings, policy, strategy)
            all_steps[key] = steps
            results[key] = _prepare(steps, sample_seconds) | {"mode": mode.name, "dtype_policy": policy}
            trace, first = (results[key][name] for name in ("trace_seconds", "first_step_seconds"))
            of_them = "" if trace is None else f", {trace:.1f} s of them tracing"
            _log(f"{mode.name} {policy}: first step done in {first:.1f} s{of_them}")
    counts = {key: result["steps_per_sample"] for key, result in results.items()}
    times = timing.rounds(all_steps, counts, rounds, lambda done: _log(f"round {done} of {rounds}"))
    for key, result in results.items():
        mode, policy = key
        result |= _depths(all_steps[key]) | dataclasses.asdict(times[key])
        result["median_seconds"] = statistics.median(times[key].seconds)
        result["ratio"] = timing.ratio(times[key].seconds, times["plain", policy].seconds)
        result["cpu_ratio"] = timing.ratio(times[key].cpu_seconds, times["plain", policy].cpu_seconds)
        if policy != "float32" and "float32" in policies:
            result["gain_over_float32"] = timing.ratio(times[mode, "float32"].seconds, times[key].seconds)
        if profile_directory:
            _log(f"profile of {mode} {policy}")
            result["operations"] = op_profile.profile(
                all_steps[key], pathlib.Path(profile_directory, f"{mode}_{policy}"), _PROFILED_STEPS
            )
        result["last_loss"] = all_steps[key].step()
    return list(results.values())


def _prepare(steps, sample_seconds):
    first, traced = timing.first_step(steps)
    steps.settle()
    count = timing.steps_per_sample(steps, sample_seconds)
    steps.forget()
    return {"trace_seconds": traced, "first_step_seconds": first, "steps_per_sample": count}


def _depths(steps):
    units = steps.units()
    return {
        "units": units,
        "predicted_ratio": units / cost_model.PLAIN_UNITS,
        "mean_lowest_segment": statistics.fmean(steps.lowest_segments) if steps.lowest_segments else None,
        "mean_gates_on": statistics.fmean(steps.gates_on) if steps.gates_on else None,
        "segment_costs": steps.segment_costs,
        "layers": steps.layers,
    }


def _log(text):
    print(text, file=sys.stderr, flush=True)


def _parser():
    parser = command.parser("benchmarks.step_cost", __doc__)
    parser.add_argument("--modes", default="", help="names joined by commas (default all)")
    parser.add_argument(
        "--depths",
        default="",
        help="also the sampler's step with its gates pinned at these blocks, joined by commas: 1 the lowest, -1 the "
        "classifier, -2 the last residual block",
    )
    parser.add_argument("--dtype_policy", default="float32", choices=tuple(settings_module.POLICIES))
    parser.add_argument("--rounds", type=settings_module.positive, default=10, help="timings of each mode (default 10)")
    parser.add_argument(
        "--sample_seconds", type=float, default=0.3, help="least length of one timing (default 0.3): steps are grouped"
    )
    parser.add_argument("--memory", action="store_true", help="peak memory too, each mode in a process of its own")
    parser.add_argument("--targets", action="store_true", help="the targets beside the measurements")
    parser.add_argument(
        "--profile", metavar="FOLDER", help="profile the modes too and print what costs more than plain"
    )
    return parser


def _run(arguments):
    settings = settings_module.from_arguments(arguments)
    names = [name for name in arguments.modes.split(",") if name] or list(modes.NAMES)
    names += [modes.depth_name(depth) for depth in arguments.depths.split(",") if depth]
    record = Record(arguments)
    results = measure(
        settings,
        names,
        settings_module.POLICIES[arguments.dtype_policy],
        rounds=arguments.rounds,
        sample_seconds=arguments.sample_seconds,
        profile_directory=arguments.profile,
    )
    for result in results if arguments.memory else ():
        _log(f"memory of {result['mode']} {result['dtype_policy']}")
        result["memory"] = memory.measure_in_new_process(result["mode"], settings, result["dtype_policy"])
    print(f"{settings.title()}\n\n{report.table(results)}")
    if arguments.targets:
        print(f"\n{report.targets_table(targets.judge(settings, results))}")
    for result in results if arguments.profile else ():
        plain = next(r for r in results if r["mode"] == "plain" and r["dtype_policy"] == result["dtype_policy"])
        if result is not plain:
            print(f"\n{result['mode']}, {result['dtype_policy']}, profiled\n")
            print(op_profile.table(result["operations"], plain["operations"]))
    if arguments.plot:
        report.draw(arguments.plot, results, settings.title())
    if arguments.json:
        record.write(arguments.json, results=results)


def main(argv: list[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns the exit status."""
    return command.run(_parser(), argv, _run)


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
