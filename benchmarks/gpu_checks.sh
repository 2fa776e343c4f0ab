#!/usr/bin/env bash
# The checks that need a GPU, in one call of about nine minutes:  bash benchmarks/gpu_checks.sh [FOLDER for the logs]
# Every kernel and every model with pytest on CuPy itself, PyTorch as an oracle through DLPack, and compute-sanitizer over all
# kernels. A step that fails does not keep the others from running; the status is 1 if one did. The longest come last.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
logs=${1:-$(mktemp -d)}
python=${PYTHON:-python3}
mkdir -p "$logs"
began=$SECONDS
failed=()

step() { # NAME SECONDS COMMAND…
    local name=$1 limit=$2 since=$SECONDS
    shift 2
    timeout "$limit" "$@" >"$logs/$name.log" 2>&1
    local status=$?
    [ $status = 0 ] || failed+=("$name")
    printf '%-12s %s, %d s: %s\n' "$name" "$([ $status = 0 ] && echo passed || echo "FAILED ($status)")" \
        $((SECONDS - since)) "$(grep -v '^$' "$logs/$name.log" | tail -1)"
    [ $status = 0 ] || grep -E '^(FAILED|ERROR)|WRONG|Error|=========' "$logs/$name.log" | head -20
}

sanitized() { # TOOL OPTIONS…
    local tool=$1
    shift
    compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20 "$@" "$python" tests/cuda/on_gpu.py --no-pool
}
export -f sanitized
export python

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
step on_gpu 90 "$python" tests/cuda/on_gpu.py
step torch 60 "$python" -m pytest -q tests/cuda/test_against_torch_gpu.py --backend cuda
step models 120 "$python" -m pytest -q tests/cuda/test_models.py --backend cuda
step kernels 120 "$python" -m pytest -q tests/cuda/test_kernels.py --all --backend cuda
step memcheck 150 bash -c 'sanitized memcheck'
step racecheck $((540 - SECONDS + began > 60 ? 540 - SECONDS + began : 60)) bash -c 'sanitized racecheck'

echo "$((SECONDS - began)) s, logs in $logs"
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
echo "all passed"
