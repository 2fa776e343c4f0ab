"""Two processes at once: in one folder of a run, one cache of features, one cache of kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fault_kinds import tiny
from tests.fault_kinds.report import Report

ROOT = Path(__file__).resolve().parents[2]

_FEATURES = """
import sys
import numpy as np
from pathlib import Path
from scratchlv.vision import features
from tests.fault_kinds.power import Mean
features._BATCH = 2
found = np.asarray(features.extract(sorted(Path(sys.argv[1]).iterdir()), Mean(), sys.argv[2]))
sys.stdout.buffer.write(found.tobytes())
"""
_KERNEL = """
import sys
import numpy as np
from scratchlv.ops import relu
x = np.arange(-8, 8, dtype=np.float32)
sys.stdout.buffer.write(relu.variant("numba_cpu").forward(x)[0].tobytes())
"""


def run(n: int, root: Path) -> Report:
    """Each pair ``n`` times."""
    report = Report("two processes at once")
    for k in range(n):
        for name, pair in (
            ("--out", _same_out),
            ("--resume", _same_resume),
            ("features", _same_features),
            ("kernels", _same_kernels),
        ):
            folder = root / f"together-{k}"
            folder.mkdir()
            broken = pair(folder)
            report.note(name, broken and f"{name}: {broken}")
            shutil.rmtree(folder)
    return report


def _both(words: list[str], **variables: str) -> list[tuple[int, bytes, str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    started = [
        subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    said = [process.communicate() for process in started]
    return [(process.returncode, out, error.decode()) for process, (out, error) in zip(started, said, strict=True)]


def _train(folder: Path, *more: str) -> list[str]:
    return ["-m", "scratchlv", "train", *more, "--out", str(folder / "run")]


def _alone(words: list[str]) -> None:
    subprocess.run([sys.executable, *words], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)


def _judged(ended: list[tuple[int, bytes, str]], folder: Path, whole: Path) -> str | None:
    """One clear refusal, or both right; and the run is as one process alone would have left it."""
    for status, _, error in ended:
        last = error.strip().splitlines()[-1] if error.strip() else ""
        if "Traceback" in error or status not in (0, 2) or status == 2 and not last.startswith("scratchlv: "):
            return f"status {status}, said {error[-1000:]!r}"
    if all(status == 2 for status, *_ in ended):
        return f"both refused: {[error[-200:] for *_, error in ended]}"
    return tiny.difference(whole, folder / "run") or tiny.log_difference(whole, folder / "run")


def _same_out(folder: Path) -> str | None:
    whole, words = folder / "whole", _train(folder, *tiny.words("lm"))
    _alone(words)
    (folder / "run").rename(whole)
    return _judged(_both(words), folder, whole)


def _same_resume(folder: Path) -> str | None:
    whole, more = folder / "whole", _train(folder, "lm", "--resume", "--set", "steps=80")
    _alone(_train(folder, *tiny.words("lm")))
    shutil.copytree(folder / "run", whole)
    _alone(more)
    (folder / "run").rename(folder / "further")
    whole.rename(folder / "run")
    return _judged(_both(more), folder, folder / "further")


def _same_features(folder: Path) -> str | None:
    from PIL import Image

    (folder / "pictures").mkdir()
    for k in range(12):
        Image.new("RGB", (8, 8), (k, 2 * k, 200 - k)).save(folder / "pictures" / f"{k:02}.png")
    ended = _both(["-c", _FEATURES, str(folder / "pictures"), str(folder / "cache")])
    if any(status for status, *_ in ended) or ended[0][1] != ended[1][1] or not ended[0][1]:
        return f"{[(status, error[-500:]) for status, _, error in ended]}"
    return None


def _same_kernels(folder: Path) -> str | None:
    ended = _both(["-c", _KERNEL], SCRATCHLV_CACHE=str(folder / "kernels"))
    if any(status for status, *_ in ended) or ended[0][1] != ended[1][1] or not ended[0][1]:
        return f"{[(status, error[-500:]) for status, _, error in ended]}"
    return None
