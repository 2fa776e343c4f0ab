"""Operations that only move memory, in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from case import Task
from cases.sweeps import RATE, adam_problem, embedding_problem, logits_problem, pictures_problem
from torch import nn

from baselines import given


def adam(how: dict[str, bool]) -> Task:
    values, grads = map(given, adam_problem())
    parameter = nn.Parameter(values.clone())
    parameter.grad = grads
    optimiser = torch.optim.Adam([parameter], lr=RATE, **how)

    def results() -> dict[str, Any]:
        optimiser.step()
        return {"change": (parameter.detach() - values).cpu().numpy()}

    return Task(optimiser.step, results)


def cross_entropy() -> Task:
    values, targets = map(given, logits_problem())
    logits = values.requires_grad_()

    def step() -> torch.Tensor:
        logits.grad = None
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        return loss

    def results() -> dict[str, Any]:
        return {"loss": step().item(), "logits": logits.grad.cpu().numpy()}

    return Task(step, results)


def embedding() -> Task:
    tokens, W, dy = map(given, embedding_problem())
    layer = nn.Embedding.from_pretrained(W, freeze=False)

    def step() -> torch.Tensor:
        layer.weight.grad = None
        y = layer(tokens)
        y.backward(dy)
        return y

    def results() -> dict[str, Any]:
        return {"y": step().detach().cpu().numpy(), "W": layer.weight.grad.cpu().numpy()}

    return Task(step, results)


def max_pool(channels_last: bool) -> Task:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, dy = (given(a).permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in pictures_problem())
    x.requires_grad_()

    def step() -> torch.Tensor:
        x.grad = None
        y = F.max_pool2d(x, 2)
        y.backward(dy)
        return y

    def results() -> dict[str, Any]:
        y = step()
        return {name: a.detach().permute(0, 2, 3, 1).cpu().numpy() for name, a in (("y", y), ("x", x.grad))}

    return Task(step, results)
