"""Language models in PyTorch: nn.LSTM or nn.RNN, and the loop over nn.LSTMCell or nn.RNNCell."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from case import Task
from cases.language_model import CLIP, RATE, SMALL, SMALL_STEPS, problem
from torch import nn

from baselines import Twin, device, given, training_task


class Layers(nn.Module):
    """PyTorch's own recurrent layers."""

    def __init__(self, V: int, E: int, H: int, layers: int, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.recurrent = (nn.LSTM if cell == "lstm" else nn.RNN)(E, H, layers)
        self.output = nn.Linear(H, V)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        h, _ = self.recurrent(self.embedding(tokens[:-1]))  # (T, N, H)
        return F.cross_entropy(self.output(h).flatten(0, 1), tokens[1:].flatten())

    def tie(self, twin: Twin) -> None:
        for k in range(self.recurrent.num_layers):
            twin.tie_recurrent(self.recurrent, f"recurrent.{k}", f"_l{k}")


class Cells(nn.Module):
    """A loop over the cell; the output is computed once, for all steps."""

    def __init__(self, V: int, E: int, H: int, layers: int, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        kind = nn.LSTMCell if cell == "lstm" else nn.RNNCell
        self.cells = nn.ModuleList([kind(E if k == 0 else H, H) for k in range(layers)])
        self.output = nn.Linear(H, V)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        steps = self.embedding(tokens[:-1]).unbind()
        for cell in self.cells:
            state, hs = None, []
            for x in steps:
                state = cell(x, state)
                hs.append(state[0] if isinstance(state, tuple) else state)
            steps = hs
        return F.cross_entropy(self.output(torch.stack(steps)).flatten(0, 1), tokens[1:].flatten())

    def tie(self, twin: Twin) -> None:
        for k, cell in enumerate(self.cells):
            twin.tie_recurrent(cell, f"recurrent.{k}")


def _twins(kind: type, settings: dict[str, Any], T: int) -> tuple[nn.Module, torch.Tensor, Twin]:
    model, batch = problem(settings, T)
    net = kind(*(settings[name] for name in ("vocabulary", "embedding", "hidden", "layers", "cell"))).to(device())
    twin = Twin(model.params)
    twin.tie("embedding.W", net.embedding.weight)
    net.tie(twin)
    twin.tie_linear(net.output, "output.W", "output.b")
    return net, given(batch.tokens), twin


def layers(settings: dict[str, Any], T: int) -> Task:
    net, tokens, twin = _twins(Layers, settings, T)
    return training_task(net, lambda: net(tokens), twin)


def cells(settings: dict[str, Any], T: int) -> Task:
    net, tokens, twin = _twins(Cells, settings, T)
    return training_task(net, lambda: net(tokens), twin)


def small(kind: str, sgd: dict[str, bool]) -> Task:
    """With clipping and SGD; ``sgd`` says how PyTorch is to do it."""
    net, tokens, twin = _twins(Layers if kind == "layers" else Cells, SMALL, SMALL_STEPS)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, **sgd)

    def step() -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = net(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimiser.step()
        return loss

    def results() -> dict[str, Any]:
        loss = step()
        return {"loss": loss.item(), **twin.grads(), **{f"{k}, after": v for k, v in twin.values().items()}}

    return Task(step, results)
