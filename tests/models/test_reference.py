"""``use("reference")`` reaches every line of a model: it trains, and says what it has learned, where there is no Numba."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_NUMBA = """
import sys

sys.modules["numba"] = None  # to import it is an error
import scratchlv
from scratchlv import decode
from scratchlv.training.trainer import Trainer, TrainSettings
from tests.cuda.test_models import GENERATORS, MODELS, inputs, make

for name in MODELS:
    print(name, flush=True)
    model, batch = make(name)
    with scratchlv.use("reference"):
        Trainer(model, lambda step: batch, TrainSettings(steps=2), show_progress=False).run()
        if name in GENERATORS:
            decode.greedy(model, inputs(name, batch), max_length=2)
        else:
            model.answer(batch)
"""


def test_no_model_needs_a_compiled_kernel():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert len(done.stdout.splitlines()) > 15
