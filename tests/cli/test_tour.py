"""Every command, in any encoding and whoever reads it: it ends with the right status, without a traceback."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .helpers import TINY, TINY_FILES, picture

ROOT = Path(__file__).resolve().parents[2]
NAME = "naïve → 犬 caf\udce9"  #: a byte that is not UTF-8, and characters that some encodings lack
READERS = {
    "all is read": '"$@"',
    "stdout closed": '"$@" >&-',
    "stderr closed": '"$@" 2>&-',
    "pipe closed early": '"$@" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}',
}
WRONG = "def forward(x):  # x: (N, D)\n    return x * x, x\n\n\ndef backward(dy, x):\n    return dy * x\n"

#: what is run, by its exit status; {place} is a folder with a difficult name, {run} the run of the task that fits
COMMANDS = {
    "help": (0, "--help"),
    "help of a command": (0, "train caption --help"),
    "misuse": (2, "train nonsense"),
    "version": (0, "--version"),
    "doctor": (0, "doctor"),
    "gradcheck": (0, "gradcheck relu --json"),
    "gradcheck, no such operation": (2, "gradcheck {NAME}"),
    "gradcheck of a file": (1, "gradcheck {place}/layer.py --json"),
    "bench": (0, "bench relu --variant reference --json {place}/bench.json"),
    "warmup": (0, "warmup babi"),
    "data": (0, "data scenes --n 2 --out {place}/sheet.png"),
    "train": (0, "train lm --out {place}/new {TINY}"),
    "train on a file": (0, "train lm --data text:{place}/text.txt --out {place}/new {TINY_FILES} --set min_count=1"),
    "train, again": (0, "train lm --out {place}/lm --resume --set steps=7"),
    "train, taken": (2, "train lm --out {place}/lm"),
    "demo": (0, "demo --out {place}/demo {TINY}"),
    "evaluate": (0, "evaluate {place}/babi --json"),
    "evaluate, no run": (2, "evaluate {place}/no"),
    "generate": (0, "generate {place}/lm -n 2 --prompt {NAME}"),
    "translate": (0, "translate {place}/translate {NAME} --alignment {place}/alignment.png"),
    "summarize": (0, "summarize {place}/summarize {place}/text.txt"),
    "summarize, standard input": (2, "summarize {place}/summarize -"),
    "caption": (0, "caption {place}/caption {place}/picture.png --picture {place}/attention.png"),
    "caption, no picture": (2, "caption {place}/caption {place}/text.txt"),
    "answer": (0, "answer {place}/babi {place}/text.txt where,{NAME}"),
    "exercise list": (0, "exercise list --folder {place}"),
    "exercise start": (0, "exercise start float32 --folder {place}"),
    "exercise check": (1, "exercise check softmax --folder {place}"),
    "exercise hint": (0, "exercise hint softmax --folder {place}"),
    "exercise solution": (0, "exercise solution softmax --reveal --folder {place}"),
    "exercise reset": (0, "exercise reset softmax --folder {place}"),
    "exercise next": (0, "exercise next --folder {place}"),
    "exercise report": (0, "exercise report --json --folder {place}"),
    "exercise dev new": (0, "exercise dev new mine --out {place}/course"),
    "exercise dev check": (0, "exercise dev check float32 --jobs 1"),
    "exercise dev export": (0, "exercise dev export masked_mean --out {place}/course.zip"),
    "exercise dev grade": (0, "exercise dev grade {place} --only softmax --jobs 1 --csv {place}/marks.csv"),
}


@pytest.fixture(scope="session")
def furnished(runs, tmp_path_factory):
    """A folder with all that the commands are about."""
    place = tmp_path_factory.mktemp("tour") / NAME
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this system has no file names that are not UTF-8")
    for task in ("lm", "translate", "summarize", "caption", "babi"):
        shutil.copytree(runs(task), place / task)
    (place / "layer.py").write_text(WRONG)
    (place / "text.txt").write_text("Mary went to the hall .\nA naïve → 犬 .\n" * 30, encoding="utf-8")
    picture(place / "picture.png")
    work(place, "exercise start softmax --folder {place}")
    return place


def work(place, line, shell='"$@"', encoding="utf-8"):
    """A command in a process of its own, between a shell's readers."""
    known = {"place": str(place), "NAME": NAME}
    line = line.replace("{TINY}", " ".join(TINY)).replace("{TINY_FILES}", " ".join(TINY_FILES))
    words = [word.format(**known) for word in line.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    command = ["bash", "-c", shell, "bash", sys.executable, "-m", "scratchlv", *words]
    return subprocess.run(command, capture_output=True, env=environment, cwd=place, timeout=300)


SLOW = ("bench", "demo")  #: they take ten seconds each: one encoding tells enough
QUICK = ("help", "misuse", "gradcheck, no such operation", "train", "generate", "exercise list")
#: Who does not read is tried in the poorest encoding, one for each command, and the other encodings where all is read.
SILENT = [reader for reader in READERS if reader != "all is read"]
STOPS = [(name, SILENT[i % len(SILENT)], "ascii") for i, name in enumerate(COMMANDS)]
STOPS += [("train", reader, "ascii") for reader in SILENT if ("train", reader, "ascii") not in STOPS]
STOPS += [(name, "all is read", "cp932") for name in COMMANDS if name not in SLOW]
STOPS += [(name, "all is read", encoding) for name in QUICK for encoding in ("ascii", "latin-1", "utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reader", "encoding"),
    STOPS,
)
def test_every_command_ends_as_it_should(furnished, tmp_path, name, reader, encoding):
    status, line = COMMANDS[name]
    place = tmp_path / NAME
    shutil.copytree(furnished, place)
    done = work(place, line, READERS[reader], encoding)
    said = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in said
    assert "Exception" not in said
    assert done.returncode == status, said
    if name.startswith("train") and status == 0:
        assert list(place.glob("*/checkpoint-00000[67].json"))  # to the end, whoever read it


@pytest.mark.parametrize("into", ["| tee log", "2>&1 | tee log"])
def test_an_interrupt_beside_tee_loses_nothing(tmp_path, into):
    """Ctrl-C goes to all of a pipeline: ``tee`` ends at once, training makes its checkpoint and says 130."""
    line = ["train", "lm", "--out", "run", *TINY]
    line[line.index("steps=6")] = "steps=100000"
    shell = f'trap : INT; "$@" {into}; exit ${{PIPESTATUS[0]}}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", sys.executable, "-m", "scratchlv", *line],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert list((tmp_path / "run").glob("checkpoint-*.json"))
    if "2>&1" not in into:
        assert b"go on with: scratchlv train lm --out run --resume" in said
