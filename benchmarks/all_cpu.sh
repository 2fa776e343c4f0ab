#!/usr/bin/env bash
# All figures of this processor for docs/results.md, and their tables: bash benchmarks/all_cpu.sh NAME [DATA]
# NAME is part of the files' names in benchmarks/results; DATA is a folder with ptb/ and multi30k/ (without it, texts are generated).
# PYTHON is the interpreter. About half an hour on two cores; Ctrl-C ends one benchmark, and keeps its rows.
set -uo pipefail
cd "$(dirname "$0")/.."
name=${1:?NAME: part of the names of the files, such as zen5} data=${2:-} python=${PYTHON:-python}
trap : INT
measure() { # FILE COMMAND…: run a benchmark, and print its table
    local file=benchmarks/results/$1.json
    "$python" "benchmarks/$2.py" "${@:3}" --json "$file" || echo "$2 ended with status $?" >&2
    printf '\n%s: python benchmarks/%s.py %s\n\n' "$file" "$2" "${*:3}"
    "$python" benchmarks/as_markdown.py "$file"
}
threads=$(nproc)
(( threads > 1 )) && threads=1,$threads
sets=()
[[ $data ]] && sets=(--ptb "$data/ptb" --multi30k "$data/multi30k/train.lc.norm.tok.en,$data/multi30k/train.lc.norm.tok.de")
measure "cpu-$name" cpu --threads "$threads"
measure "products-$name" products --threads "$threads"
measure "runs-$name" runs --seconds 30 "${sets[@]}"
measure "cpu-$name-avx2" cpu --isa avx2
measure "products-$name-avx2" products --threads "$threads" --isa avx2
"$python" benchmarks/as_markdown.py --into docs/results.md # the tables that are marked there
