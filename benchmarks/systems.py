"""Every system of the lecture, trained and evaluated by the commands that a user would type, one after another.

    python benchmarks/systems.py --only scenes                         what needs no data
    python benchmarks/systems.py --data DIR --only ptb multi30k …      real sets, in DIR/ptb, DIR/multi30k, …

Each row of the JSON file has the commands, the seconds of training (data made ready and kernels loaded included) and the figures
that ``scratchlv evaluate --json`` ends with. A row that is there already is not run again; remove it to repeat it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

#: name -> the arguments of train; those of evaluate. {data} is the folder of real sets, {runs} that of the runs.
SYSTEMS: dict[str, tuple[str, str]] = {
    "scenes-lm": ("lm", ""),
    "scenes-lm-gru": ("lm --model gru", ""),
    "scenes-lm-rnn": ("lm --model rnn", ""),
    "scenes-translate-additive": ("translate", ""),
    "scenes-translate-dot": ("translate --model dot", ""),
    "scenes-translate-naive": (
        "translate --model naive --set steps=6000 --set learning_rate=1.5e-3 --set dropout=0",
        "",
    ),
    "scenes-summarize": ("summarize", ""),
    "scenes-caption-naive": ("caption --model naive", "--n 1000"),
    "scenes-caption-shortcut": ("caption --model shortcut", "--n 1000"),
    "scenes-caption-uniform": ("caption --model uniform", "--n 1000"),
    "scenes-caption-attention": ("caption --model attention", "--n 1000"),
    "scenes-vqa-naive": ("vqa --model naive --encoder {runs}/scenes-caption-attention", "--n 1000"),
    "scenes-vqa-1-hop": ("vqa --model attention --hops 1 --encoder {runs}/scenes-caption-attention", "--n 1000"),
    "scenes-vqa-2-hops": ("vqa --model attention --hops 2", "--n 1000"),
    "scenes-vqa-2-hops-answers-alone": (
        "vqa --model attention --hops 2 --set attention_loss=0 --encoder {runs}/scenes-caption-attention",
        "--n 1000",
    ),
    "scenes-vqa-memory": ("vqa --model memory --hops 2 --encoder {runs}/scenes-caption-attention", "--n 1000"),
    "ptb": ("lm --data ptb:{data}/ptb --layers 2", ""),
    "multi30k": (
        "translate --data parallel:{data}/multi30k/train.lc.norm.tok.en,{data}/multi30k/train.lc.norm.tok.de",
        "",
    ),
    "news": ("summarize --data csv:{data}/news/news.train.csv:text:headline", ""),
    "babi": ("babi --data babi:{data}/babi:all", "--split test"),
    "babi-joint": ("babi --data babi:{data}/babi:all --preset joint", "--split test"),
    "easy-vqa": ("vqa --data easy-vqa --hops 1", "--split test"),
    "daquar": ("vqa --data daquar:{data}/daquar", ""),
    "daquar-regularised": ("vqa --data daquar:{data}/daquar --preset daquar --backbone efficientnet-lite2", ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="systems whose names begin so")
    parser.add_argument("--data", type=Path, help="folder of real sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/systems"), help="folder of the runs")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/systems.json"))
    arguments = parser.parse_args()
    rows = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
    for name, (train, evaluate) in SYSTEMS.items():
        if name in rows or not name.startswith(tuple(arguments.only)):
            continue
        if "{data}" in train and arguments.data is None:
            print(f"{name}: left out, for it needs --data")
            continue
        rows[name] = measure(arguments.runs, name, train, evaluate, arguments.data)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(runs: Path, name: str, train: str, evaluate: str, data: Path | None) -> dict:
    """Train into ``runs/name``, evaluate, and say what came of it."""
    run = runs / name
    began = time.monotonic()
    scratchlv([*train.format(data=data, runs=runs).split(), "--out", str(run)], "train")
    seconds = round(time.monotonic() - began, 1)
    said = scratchlv([str(run), "--json", *evaluate.split()], "evaluate")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "train": f"scratchlv train {train.format(data='DIR', runs='RUNS')} --out RUN",
        "evaluate": f"scratchlv evaluate RUN {evaluate}".strip(),
        "seconds": seconds,
        "metrics": json.loads(said.splitlines()[-1])["metrics"],
    }


def scratchlv(words: list[str], command: str) -> str:
    """Run a command; its standard output, which is shown as well."""
    print(f"--- scratchlv {command} {' '.join(words)}", flush=True)
    line = [sys.executable, "-m", "scratchlv", command, *words]
    done = subprocess.run(
        line, stdout=subprocess.PIPE, encoding="utf-8", env=os.environ | {"PYTHONIOENCODING": "utf-8"}
    )
    print(done.stdout, flush=True)
    if done.returncode != 0:
        sys.exit(f"it ended with status {done.returncode}; what was measured before is kept")
    return done.stdout


if __name__ == "__main__":
    main()
