#!/usr/bin/env bash
# Trains with several worker processes on this machine's CPUs, as several machines would: a trial of
# --strategy=multi_worker, not a way to go faster (one process uses all cores and, with --strategy=mirrored, all GPUs).
#
#   ./launch/multi_worker.sh 2 --flagfile=flags/digits.cfg --workdir=runs/digits_2_workers
#
# The chief's output appears here, the others' in worker1.log and so on in the run directory. When one worker fails, the
# rest are stopped. Ctrl-C or SIGTERM goes on to all workers, which write a checkpoint after a step on which they agree; a
# second one ends them at once. One that has not ended after 90 seconds (PATIENCE) is killed. The same command goes on
# where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if (($# < 2)) || [[ ! "$1" =~ ^[1-9][0-9]?$ ]]; then
  echo "multi_worker.sh: error: expected a number of workers and flags, as in:" \
    "./launch/multi_worker.sh 2 --flagfile=flags/digits.cfg --workdir=runs/digits_2_workers" >&2
  exit 2
fi
workers=$1
shift
python=${PYTHON:-.venv/bin/python}
flags=("$@" --strategy=multi_worker)

# Answers a mistake in the flags once, before there are workers; prints the run directory, then free ports.
plan=$("$python" - "$workers" "${flags[@]}" <<'PLAN'
import contextlib, socket, sys
from famus_tf import errors
from famus_tf.config import command_line

try:
    print(command_line.read_config(["multi_worker.sh", *sys.argv[2:]]).run.workdir)
except errors.InputError as error:
    sys.exit(f"famus_tf: error: {error}")
with contextlib.ExitStack() as stack:  # all are open at once, so all are different
    sockets = [stack.enter_context(socket.socket()) for _ in range(int(sys.argv[1]))]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
        print(free.getsockname()[1])
PLAN
) || exit 2
mapfile -t plan <<<"$plan"
workdir=${plan[0]}
addresses=$(printf ', "127.0.0.1:%s"' "${plan[@]:1}")
mkdir -p "$workdir"

pids=()
stop_all() {
  trap - EXIT
  trap 'kill "${pids[@]}" 2>/dev/null || true' INT TERM
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
  # A worker that waits for one that has failed would wait in vain: the second signal ends it at once.
  ((failed == 0)) || { sleep 1 && kill "${pids[@]}" 2>/dev/null || true; }
  # One that does not answer is not waited for: it may have been stopped itself.
  local until=$((SECONDS + ${PATIENCE:-90}))
  while [[ -n "$(jobs -rp)" ]] && ((SECONDS < until)); do sleep 0.1; done
  [[ -z "$(jobs -rp)" ]] || kill -KILL $(jobs -rp) 2>/dev/null || true
  wait || true
} 2>/dev/null # bash would tell of each that was killed
failed=0
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export CUDA_VISIBLE_DEVICES= # workers on one machine would all take the same GPUs
for ((worker = workers - 1; worker >= 0; worker--)); do
  export TF_CONFIG="{\"cluster\": {\"worker\": [${addresses#, }]}, \"task\": {\"type\": \"worker\", \"index\": $worker}}"
  if ((worker == 0)); then
    "$python" -m famus_tf.main "${flags[@]}" &
  else
    "$python" -m famus_tf.main "${flags[@]}" >>"$workdir/worker$worker.log" 2>&1 &
  fi
  pids+=($!)
done

for _ in "${pids[@]}"; do
  status=0
  wait -n || status=$?
  if ((status)); then
    failed=1
    echo "multi_worker.sh: error: a worker ended with status $status, the others are stopped; see $workdir/worker*.log" >&2
    exit "$status"
  fi
done
