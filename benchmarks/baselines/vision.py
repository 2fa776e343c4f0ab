"""Convolutional networks in PyTorch, in either layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import Task
from cases.vision import SMALL, small_problem, stem_problem, vgg_problem
from torch import nn

from baselines import NCHW, Twin, device, given, training_task


def _layout(channels_last: bool) -> Any:
    return torch.channels_last if channels_last else torch.contiguous_format


def _pictures(pictures: np.ndarray, layout: Any) -> torch.Tensor:
    return given(pictures).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def vgg(N: int, channels_last: bool) -> Task:
    layout = _layout(channels_last)
    convolutions, pictures = vgg_problem(N)
    params = {}
    for i, (W, b, _) in enumerate(convolutions):
        params[f"{i}.W"], params[f"{i}.b"] = W, b
    twin = Twin(params)
    layers: list[nn.Module] = []
    for i, (W, _, pool) in enumerate(convolutions):
        conv = nn.Conv2d(W.shape[2], W.shape[3], 3, padding=1)
        twin.tie(f"{i}.W", conv.weight, NCHW)
        twin.tie(f"{i}.b", conv.bias)
        layers += [conv, nn.ReLU(inplace=True), *([nn.MaxPool2d(2)] if pool else [])]
    net = nn.Sequential(*layers).to(device(), memory_format=layout)
    x = _pictures(pictures, layout)

    @torch.inference_mode()
    def step() -> torch.Tensor:
        return net(x)

    return Task(step, lambda: {"conv5_3": step().permute(0, 2, 3, 1).cpu().numpy()})


class Small(nn.Module):
    def __init__(self, params: dict[str, np.ndarray], twin: Twin) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c_in = 3
        for i, c_out in enumerate(SMALL):
            conv = nn.Conv2d(c_in, c_out, 3, padding=1)
            twin.tie(f"conv{i}.W", conv.weight, NCHW)
            twin.tie(f"conv{i}.b", conv.bias)
            layers += [conv, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            c_in = c_out
        self.convolutions = nn.Sequential(*layers)
        self.output = nn.Linear(*params["output.W"].shape)
        twin.tie_linear(self.output, "output.W", "output.b")

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        x = self.convolutions(x).permute(0, 2, 3, 1)  # our output weights count channels last
        return F.cross_entropy(self.output(x.flatten(1)), classes)


def small(channels_last: bool, compiled: bool) -> Task:
    params, pictures, classes = small_problem()
    twin = Twin(params)
    net = Small(params, twin).to(device())
    net.convolutions.to(memory_format=_layout(channels_last))
    x, targets = _pictures(pictures, _layout(channels_last)), given(classes)
    loss: Any = torch.compile(net) if compiled else net
    return training_task(net, lambda: loss(x, targets), twin)


def stem(channels_last: bool) -> Task:
    layout = _layout(channels_last)
    weights, pictures, gradient = stem_problem()
    conv = nn.Conv2d(3, weights.shape[3], 7, 2, 3, bias=False)
    twin = Twin({"W": weights})
    twin.tie("W", conv.weight, NCHW)
    net = nn.Sequential(conv, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)).to(device(), memory_format=layout)
    x, dy = _pictures(pictures, layout), _pictures(gradient, layout)

    def step() -> torch.Tensor:
        conv.weight.grad = None
        y = net(x)
        y.backward(dy)
        return y

    def results() -> dict[str, Any]:
        y = step().detach().permute(0, 2, 3, 1).cpu().numpy()
        return {"y": y, "W": conv.weight.grad.permute(2, 3, 1, 0).cpu().numpy()}

    return Task(step, results)
