"""Seconds of each stage of one step, as in Fig. 1b of the paper, for the exact meta gradient and for pinned depths.

    python -m benchmarks.stages --network=preact_resnet18 --batch_size=16 --plot=stages.png

prints a Markdown table, a column for each mode; `--plot` draws stacked bars. The modes are those of
`benchmarks.step_cost`; famus_gates_at_-2 is FaMUS with the learned sampler at work and its gates pinned at the last
block, famus_gates_at_-1 at the classifier.
"""

import sys

from benchmarks import command, mode_steps, modes, report, settings
from benchmarks.record import Record
from famus_tf.devices import strategy as strategies
from famus_tf.files import closed_pipe
from famus_tf.profiling import stage_times

_MODES = ("mw_net_exact", modes.depth_name(-2), modes.depth_name(-1), "one_loop_exact", "one_loop_last_block")


def measure(chosen, mode_names, policy, rounds):
    """Times the stages of each mode.

    Args:
      chosen: `settings.Settings`.
      mode_names: list of names of modes with a meta step.
      policy: dtype policy of the network.
      rounds: how often each stage is timed.

    Returns:
      Dict mode -> dict stage -> seconds.
    """
    strategy = strategies.make_strategy("one_device")
    columns = {}
    for name in mode_names:
        print(name, file=sys.stderr, flush=True)
        steps = mode_steps.make_steps(modes.find(name), chosen, policy, strategy)
        columns[name] = stage_times.measure(
            steps.method, steps.next_pair(), rounds=rounds, strategy=strategy, whole_step=steps.step
        )
    return columns


def _parser():
    parser = command.parser("benchmarks.stages", __doc__)
    parser.add_argument("--modes", default=",".join(_MODES), help="names joined by commas (default %(default)s)")
    parser.add_argument("--dtype_policy", default="float32", choices=("float32", "mixed_bfloat16"))
    parser.add_argument("--rounds", type=settings.positive, default=10, help="timings of each stage (default 10)")
    return parser


def _run(arguments):
    chosen = settings.from_arguments(arguments)
    record = Record(arguments)
    columns = measure(chosen, arguments.modes.split(","), arguments.dtype_policy, arguments.rounds)
    print(f"{chosen.title()}, {arguments.dtype_policy}, seconds\n\n{report.stages_table(columns)}")
    if arguments.plot:
        report.draw_stages(arguments.plot, columns, f"{chosen.title()}, {arguments.dtype_policy}")
    if arguments.json:
        record.write(arguments.json, results=columns)


def main(argv: list[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns the exit status."""
    return command.run(_parser(), argv, _run)


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
