#!/usr/bin/env bash
# The checks that need a GPU, in one call of at most five minutes:  bash benchmarks/gpu_checks.sh [FOLDER for the logs]
# For a bare machine with torch, CuPy, numba, pytest and compute-sanitizer. All is said as it is found, so that a run that is cut
# off has said what it saw; a step that fails does not keep the others from running, and the status is 1 if one did.
# With --long (about nine minutes) also every model and kernel with pytest, and memcheck and racecheck over all kernels.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
long=
[ "${1:-}" = --long ] && long=1 && shift
logs=${1:-$(mktemp -d)}
python=${PYTHON:-python3}
export python
mkdir -p "$logs"
began=$SECONDS
limit=$([ -n "$long" ] && echo 540 || echo 300)
failed=()

left() { echo $((limit - SECONDS + began)); }

step() { # NAME SECONDS COMMAND…: no longer than SECONDS, nor than what is left of all
    local name=$1 most=$2 since=$SECONDS status
    shift 2
    [ "$(left)" -lt 5 ] && echo "$name: left out, the time was up" && return
    [ "$(left)" -lt "$most" ] && most=$(left)
    echo "== $name"
    timeout -k 10 "$most" "$@" 2>&1 | tee "$logs/$name.log" | grep --line-buffered -E 'right|WRONG|passed|failed|FAILED|ERROR|Error|=========|s: |^all' | tail -60
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || failed+=("$name")
    echo "-- $name: $([ "$status" = 0 ] && echo passed || echo "FAILED ($status)"), $((SECONDS - since)) s"
}

sanitized() { # TOOL ROOMS…; of all rooms where none is named
    local tool=$1
    shift
    compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20 "$python" tests/cuda/on_gpu.py --no-pool ${1:+--only "$@"}
}
export -f sanitized

sanitizer_serves() { # whether it takes this device at all
    command -v compute-sanitizer >/dev/null || { echo "memcheck: left out, there is no compute-sanitizer" && return 1; }
    timeout -k 10 60 compute-sanitizer --error-exitcode 9 "$python" -c "import cupy; cupy.zeros(3) + 1" >"$logs/sanitizer.log" 2>&1 ||
        { echo "memcheck: left out, compute-sanitizer refuses this device: $(grep -v '^$' "$logs/sanitizer.log" | tail -1)" && return 1; }
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
"$python" -c "import numba, cupy, torch; print('numba', numba.__version__, 'cupy', cupy.__version__, 'torch', torch.__version__)" || exit 2
step compile 60 "$python" -m scratchlv.cuda.ahead
step on_gpu 120 "$python" tests/cuda/on_gpu.py
step torch 60 "$python" -m pytest -q tests/cuda/test_against_torch_gpu.py --backend cuda
if sanitizer_serves; then
    for room in lstm rnn attention_lstm conv2d; do step "memcheck-$room" 60 bash -c "sanitized memcheck $room"; done
fi
if [ -n "$long" ]; then
    step models 120 "$python" -m pytest -q tests/cuda/test_models.py --backend cuda
    step kernels 120 "$python" -m pytest -q tests/cuda/test_kernels.py --all --backend cuda
    step memcheck 150 bash -c 'sanitized memcheck'
    step racecheck 240 bash -c 'sanitized racecheck'
fi

echo "$((SECONDS - began)) s, logs in $logs"
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
echo "all passed"
