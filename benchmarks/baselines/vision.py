"""Convolutional networks in PyTorch, in either layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import Task
from cases.vision import SMALL, finetuning_problem, small_problem, stem_problem, vgg_problem
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


class Bottleneck(nn.Module):
    """As in torchvision."""

    def __init__(self, channels: int, inside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, inside, 1, bias=False), nn.BatchNorm2d(inside)
        self.conv2, self.bn2 = nn.Conv2d(inside, inside, 3, stride, 1, bias=False), nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = nn.Conv2d(inside, 4 * inside, 1, bias=False), nn.BatchNorm2d(4 * inside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1:
            shortcut = nn.Conv2d(channels, 4 * inside, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * inside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def finetuning(channels_last: bool) -> Task:
    from scratchlv.vision.resnet import RESNET50

    layout = _layout(channels_last)
    params, buffers, below, gradient = finetuning_problem()
    channels, inside = below.shape[3], gradient.shape[3] // 4
    blocks = [Bottleneck(4 * inside if i else channels, inside, 1 if i else 2) for i in range(RESNET50.blocks[-1])]
    layer4 = nn.Sequential(*blocks).eval()  # the statistics are constants; what is trained are weights, gamma and beta
    units = {unit.key: unit for unit in RESNET50.units() if unit.layer == "layer4"}
    modules = dict(layer4.named_modules())
    weights: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for key, unit in units.items():
            conv, norm = (modules[name.removeprefix("layer4.")] for name in (unit.name, unit.norm or ""))
            W = torch.from_numpy(params[f"{key}.W"])
            conv.weight.copy_((W[None, None] if W.ndim == 2 else W).permute(3, 2, 0, 1))
            weights |= {f"{key}.W": conv.weight, f"{key}.gamma": norm.weight, f"{key}.beta": norm.bias}
            norm.weight.copy_(torch.from_numpy(params[f"{key}.gamma"]))
            norm.bias.copy_(torch.from_numpy(params[f"{key}.beta"]))
            norm.running_mean.copy_(torch.from_numpy(buffers[f"{key}.mean"]))
            norm.running_var.copy_(torch.from_numpy(buffers[f"{key}.var"]))
    layer4.to(device(), memory_format=layout)
    x, dy = _pictures(below, layout), _pictures(gradient, layout)

    def step() -> torch.Tensor:
        layer4.zero_grad(set_to_none=True)
        y = layer4(x)
        y.backward(dy)
        return y

    def results() -> dict[str, Any]:
        found = {"y": step().detach().permute(0, 2, 3, 1).cpu().numpy()}
        for name, weight in weights.items():
            grad = weight.grad.cpu()
            if grad.ndim == 4:
                grad = grad.permute(2, 3, 1, 0)
            found[name] = grad.reshape(params[name].shape).numpy()
        return found

    return Task(step, results)
