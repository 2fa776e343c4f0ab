"""The training step of ``scratchlv demo`` against the same model in PyTorch, side by side.

    python benchmarks/demo_step.py [--json FILE] [--blocks 5] [--steps 20]

One step is a batch of 32 pictures of 64x64 and their captions: forward, backward, clipping, Adam. First both sides are
given the same parameters and must agree on the loss and on every gradient. Then each runs in a process of its own, in
alternating blocks of steps; the figure is the median step. PyTorch runs in four ways, and the fastest counts: contiguous and
channels-last, as installed and with MKL told to use its AVX-512 kernels on processors of any maker (needs gcc).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("contiguous", "channels_last", "contiguous, MKL AVX-512", "channels_last, MKL AVX-512")


def problem():
    """The model of the demo, and one batch of it."""
    from scratchlv.models.captioner import Captioner, CaptionerShape
    from scratchlv.tasks.captioning import PRESETS, scenes_set

    settings = PRESETS["scenes", "quick"]
    data = scenes_set(0, "train", 200, settings)
    model = Captioner(
        CaptionerShape(len(data.vocabulary), settings.embedding, settings.hidden, settings.attention), seed=0
    )
    return model, data.training_batch(0, settings.batch, 0), settings


# --- the two sides -----------------------------------------------------------------------------------------------


def our_step():
    from scratchlv.trainer import Trainer, TrainSettings

    model, batch, s = problem()
    trainer = Trainer(
        model, lambda step: batch, TrainSettings(10**6, s.learning_rate, s.warmup, s.clip), show_progress=False
    )
    return trainer.train_step


def torch_step(layout: str):
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    model, batch, s = problem()
    net = torch_model(model)
    if layout == "channels_last":
        net = net.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=s.learning_rate, fused=True)

    def step():
        optimiser.zero_grad(set_to_none=True)
        torch_loss(net, batch, layout).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        optimiser.step()

    return step


def torch_model(model):
    """The same captioner as PyTorch modules, with the same numbers in them."""
    import torch
    from torch import nn

    p = {name: torch.tensor(value) for name, value in model.params.items()}

    def linear(weight, bias=None):
        layer = nn.Linear(weight.shape[0], weight.shape[1], bias=bias is not None)
        layer.weight.data = weight.T.contiguous()
        if bias is not None:
            layer.bias.data = bias.clone()
        return layer

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers = []
            for name in ("conv1", "conv2", "conv3"):
                W = p[f"{name}.W"].permute(3, 2, 0, 1).contiguous()  # (M, C, kh, kw)
                first = name == "conv1"
                conv = nn.Conv2d(W.shape[1], W.shape[0], W.shape[2], 2 if first else 1, W.shape[2] // 2, bias=False)
                conv.weight.data = W
                norm = nn.BatchNorm2d(W.shape[0])
                layers += [conv, norm, nn.ReLU(inplace=True)] + ([] if first else [nn.MaxPool2d(2)])
            self.conv = nn.Sequential(*layers)
            self.embedding = nn.Embedding.from_pretrained(p["embedding.W"].clone(), freeze=False)
            self.key = linear(p["attention.Wx"], p["attention.b"])
            self.query = linear(p["attention.Wh"])
            self.v = nn.Parameter(p["attention.v"].clone())
            self.cell = nn.LSTMCell(*p["decoder.Wx"].shape[:1], p["decoder.Wh"].shape[0])
            self.cell.weight_ih.data = p["decoder.Wx"].T.contiguous()
            self.cell.weight_hh.data = p["decoder.Wh"].T.contiguous()
            self.cell.bias_ih.data = p["decoder.b"].clone()
            self.cell.bias_hh.data.zero_()
            self.from_h, self.from_z = linear(p["output.Wh"]), linear(p["output.Wz"])
            self.out = linear(p["output.Wo"], p["output.b"])

    return Net()


def torch_loss(net, batch, layout: str):
    """The captioner's forward pass as a PyTorch user would write it: keys and output hoisted out of the loop."""
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(batch.pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    x = x.contiguous(memory_format=torch.channels_last if layout == "channels_last" else torch.contiguous_format)
    features = net.conv(x).permute(0, 2, 3, 1)
    N, h, w, _ = features.shape
    across = torch.linspace(-1, 1, w).expand(N, h, w)
    down = torch.linspace(-1, 1, h)[:, None].expand(N, h, w)
    regions = torch.cat([features, across[..., None], down[..., None]], dim=3).reshape(N, h * w, -1)
    keys = net.key(regions)
    tokens = torch.from_numpy(batch.tokens)
    words = net.embedding(tokens[:-1])
    state = c = torch.zeros(N, net.cell.hidden_size)
    hs, zs = [], []
    for t in range(len(words)):
        e = torch.tanh(keys + net.query(state)[:, None]) @ net.v
        z = torch.bmm(torch.softmax(e, dim=1)[:, None], regions)[:, 0]
        state, c = net.cell(torch.cat([words[t], z], dim=1), (state, c))
        hs.append(state)
        zs.append(z)
    logits = net.out(words + net.from_h(torch.stack(hs)) + net.from_z(torch.stack(zs)))
    mask = torch.arange(len(words))[:, None] < torch.from_numpy(batch.lengths)
    return F.cross_entropy(logits[mask], tokens[1:][mask])


def check() -> float:
    """Loss and gradients of both sides; returns the largest difference of a gradient, relative to its largest number."""
    model, batch, _ = problem()
    loss, cache = model.forward(batch)
    ours = model.backward(cache)
    net = torch_model(model)
    torch_value = torch_loss(net, batch, "contiguous")
    torch_value.backward()
    theirs = {
        "embedding.W": net.embedding.weight.grad,
        "attention.Wx": net.key.weight.grad.T,
        "attention.b": net.key.bias.grad,
        "attention.Wh": net.query.weight.grad.T,
        "attention.v": net.v.grad,
        "decoder.Wx": net.cell.weight_ih.grad.T,
        "decoder.Wh": net.cell.weight_hh.grad.T,
        "decoder.b": net.cell.bias_ih.grad,
        "output.Wh": net.from_h.weight.grad.T,
        "output.Wz": net.from_z.weight.grad.T,
        "output.Wo": net.out.weight.grad.T,
        "output.b": net.out.bias.grad,
    }
    convolutions = [
        layer for layer in net.conv if hasattr(layer, "kernel_size") and layer.__class__.__name__ == "Conv2d"
    ]
    norms = [layer for layer in net.conv if layer.__class__.__name__ == "BatchNorm2d"]
    for i, (conv, norm) in enumerate(zip(convolutions, norms, strict=True), 1):
        theirs[f"conv{i}.W"] = conv.weight.grad.permute(2, 3, 1, 0)
        theirs[f"conv{i}.gamma"], theirs[f"conv{i}.beta"] = norm.weight.grad, norm.bias.grad
    if abs(loss - float(torch_value.detach())) > 1e-5 * abs(loss):
        sys.exit(f"the losses differ: {loss} and {float(torch_value.detach())}")
    worst = 0.0
    for name, grad in ours.items():
        other = theirs[name].numpy()
        worst = max(worst, float(np.abs(grad - other).max() / np.abs(other).max()))
    if not worst < 1e-3:
        sys.exit(f"the gradients differ by {worst:.1e}")
    return worst


# --- timing ------------------------------------------------------------------------------------------------------


def serve(side: str) -> None:
    """A worker: for each line on stdin with a number of steps, a line with their times in ms."""
    step = our_step() if side == "ours" else torch_step(side.partition(",")[0])
    for _ in range(5):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - began))
        print(json.dumps(times), flush=True)


def compare(blocks: int, steps: int) -> dict[str, list[float]]:
    sides = ["ours", *PEERS]
    with tempfile.TemporaryDirectory() as folder:
        library = avx512_library(Path(folder))
        if library is None:
            sides = [side for side in sides if "AVX-512" not in side]
        workers = {}
        for side in sides:
            environment = dict(os.environ, PYTHONPATH=str(ROOT))
            if "AVX-512" in side:
                environment["LD_PRELOAD"] = str(library)
            command = [sys.executable, __file__, "--serve", side]
            workers[side] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            assert workers[side].stdout.readline() == "ready\n"
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(blocks):
            for side, worker in workers.items():
                worker.stdin.write(f"{steps}\n")
                worker.stdin.flush()
                times[side] += json.loads(worker.stdout.readline())
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    return times


def avx512_library(folder: Path) -> Path | None:
    """MKL takes AVX2 kernels on processors that are not Intel's, unless this function says otherwise."""
    source, library = folder / "intel.c", folder / "intel.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="in each block")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if arguments.serve:
        serve(arguments.serve)
        return
    import torch

    difference = check()
    times = compare(arguments.blocks, arguments.steps)
    medians = {side: statistics.median(values) for side, values in times.items()}
    best = min(medians, key=lambda side: medians[side] if side != "ours" else float("inf"))
    installed = min(v for side, v in medians.items() if side in PEERS[:2])
    row = {
        "work": "demo-step",
        "ours_ms": round(medians["ours"], 2),
        "torch_ms": round(installed, 2),
        "torch_best_ms": round(medians[best], 2),
        "ratio": round(installed / medians["ours"], 2),
        "ratio_best": round(medians[best] / medians["ours"], 2),
        "sides": {
            side: {
                "median_ms": round(medians[side], 2),
                "p20_ms": round(float(np.percentile(values, 20)), 2),
                "p80_ms": round(float(np.percentile(values, 80)), 2),
            }
            for side, values in times.items()
        },
        "largest_gradient_difference": difference,
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OPENBLAS_", "MKL_", "OMP_", "NUMBA_"))},
    }
    for side, figures in row["sides"].items():
        print(f"{side:28} {figures['median_ms']:7.2f} ms  [{figures['p20_ms']:.2f} – {figures['p80_ms']:.2f}]")
    print(f"PyTorch / ours: {row['ratio']} as installed, {row['ratio_best']} at its best ({best})")
    if arguments.json:
        arguments.json.write_text(json.dumps(row, indent=1) + "\n")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
