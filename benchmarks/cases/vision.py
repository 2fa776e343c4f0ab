"""Convolutional networks: VGG16 up to conv5_3, forward; training steps of a small one, of a ResNet's stem and its last layer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from case import Array, Case, Goal, Phase, Task, matmul_flops, on_host, placed

VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
SMALL = (32, 64, 128, 128)  # each followed by a pooling
SIDE, SMALL_SIDE, SMALL_N, CLASSES = 224, 64, 32, 10
STEM, STEM_N = 64, 8
LAYER4, LAYER4_N = "layer4", 16
FLAT = SMALL[-1] * (SMALL_SIDE // 2 ** len(SMALL)) ** 2


# --- VGG16 -------------------------------------------------------------------------------------------------------


def vgg_problem(N: int) -> tuple[list[tuple[Array, Array, bool]], Array]:
    """The convolutions, each (W, b, whether a pooling follows), and pictures (N, 224, 224, 3)."""
    from scratchlv.initialisers import he, normal

    rng = np.random.default_rng(1)
    layers, c_in = [], 3
    for c_out, following in zip(VGG16, (*VGG16[1:], None), strict=True):
        if not isinstance(c_out, str):
            layers.append((he(rng, 3, 3, c_in, c_out), normal(rng, c_out, scale=0.05), following == "pool"))
            c_in = c_out
    return layers, normal(rng, N, SIDE, SIDE, 3, scale=1.0)


def vgg(N: int) -> Task:
    from scratchlv.vision import vgg as architecture
    from scratchlv.vision.backbones import Backbone, pretrained

    layers, pictures = vgg_problem(N)
    weights: dict[str, Array] = {}
    number = 0  # among torchvision's layers, which names and lays them out like this
    for W, b, pool in layers:
        weights |= {f"features.{number}.weight": W.transpose(3, 2, 0, 1), f"features.{number}.bias": b}
        number += 3 if pool else 2  # ReLU has a number too, and pooling
    blocks = " ".join(map(str, VGG16)).split("pool")
    network = architecture.VGG(
        blocks=tuple(tuple(map(int, block.split())) for block in blocks),
        regions=f"conv{len(blocks)}_{len(blocks[-1].split())}",
    )
    backbone, pictures = Backbone(pretrained(network, weights)), placed(pictures)
    backbone.params.update({name: placed(array) for name, array in backbone.params.items()})

    def step() -> Array:
        return backbone.forward(pictures)

    return Task(step, lambda: on_host({"conv5_3": step()}))


# --- the small network ---------------------------------------------------------------------------------------------


def small_problem() -> tuple[dict[str, Array], Array, Array]:
    """Parameters, pictures (32, 64, 64, 3), and their classes."""
    from scratchlv.initialisers import he, normal, uniform

    rng = np.random.default_rng(1)
    params, c_in = {}, 3
    for i, c_out in enumerate(SMALL):
        params[f"conv{i}.W"], params[f"conv{i}.b"] = he(rng, 3, 3, c_in, c_out), normal(rng, c_out, scale=0.05)
        c_in = c_out
    params["output.W"], params["output.b"] = uniform(rng, FLAT, CLASSES), np.zeros(CLASSES, np.float32)
    pictures = normal(rng, SMALL_N, SMALL_SIDE, SMALL_SIDE, 3, scale=1.0)
    return params, pictures, rng.integers(0, CLASSES, SMALL_N)


def small_conv() -> Task:
    from scratchlv.ops import conv2d, linear, softmax_cross_entropy

    p, pictures, classes = small_problem()
    p, pictures, classes = {name: placed(W) for name, W in p.items()}, placed(pictures), placed(classes)

    def step() -> tuple[Any, dict[str, Array]]:
        x, caches = pictures, []
        for i in range(len(SMALL)):
            W, b = p[f"conv{i}.W"], p[f"conv{i}.b"]
            x, cache = conv2d.forward(x, W, b, padding=1, relu=True, pool=True, need_dx=i > 0)
            caches.append(cache)
        logits, output_cache = linear.forward(x.reshape(SMALL_N, -1), p["output.W"], p["output.b"])
        loss, loss_cache = softmax_cross_entropy.forward(logits, classes)
        g: dict[str, Array] = {}
        (dlogits,) = softmax_cross_entropy.backward(1.0, loss_cache)
        dx, g["output.W"], g["output.b"] = linear.backward(dlogits, output_cache)
        dx = dx.reshape(x.shape)
        for i, cache in reversed(list(enumerate(caches))):
            dx, g[f"conv{i}.W"], g[f"conv{i}.b"] = conv2d.backward(dx, cache)
        return loss, g

    def results() -> dict[str, Any]:
        loss, grads = step()
        return on_host({"loss": loss, **grads})

    return Task(step, results)


# --- the stem of a ResNet --------------------------------------------------------------------------------------------


def stem_problem() -> tuple[Array, Array, Array]:
    """Weights, pictures (8, 224, 224, 3), and the gradient of what comes out, (8, 56, 56, 64)."""
    from scratchlv.initialisers import he, normal

    rng = np.random.default_rng(1)
    side = SIDE // 4
    pictures, dy = (normal(rng, STEM_N, n, n, c, scale=1.0) for n, c in ((SIDE, 3), (side, STEM)))
    return he(rng, 7, 7, 3, STEM), pictures, dy


def stem() -> Task:
    from scratchlv.ops import conv2d, max_pool2d

    W, pictures, dy = map(placed, stem_problem())

    def step() -> tuple[Array, Array]:
        x, conv = conv2d.forward(pictures, W, stride=2, padding=3, relu=True, need_dx=False)
        y, pool = max_pool2d.forward(x, size=3, stride=2, padding=1)
        (dx,) = max_pool2d.backward(dy, pool)
        return y, conv2d.backward(dx, conv)[1]

    return Task(step, lambda: on_host(dict(zip(("y", "W"), step(), strict=True))))


# --- the last layer of ResNet-50, finetuned ----------------------------------------------------------------------------


def finetuning_problem() -> tuple[dict[str, Array], dict[str, Array], Array, Array]:
    """Parameters and running statistics by our names, what is below, (16, 14, 14, 1024), and the gradient of what comes out."""
    from scratchlv.initialisers import normal
    from scratchlv.vision import units
    from scratchlv.vision.resnet import RESNET50

    rng = np.random.default_rng(1)
    params, buffers = units.init(rng, [unit for unit in RESNET50.units() if unit.layer == LAYER4])
    for array in buffers.values():
        array += rng.uniform(-0.2, 0.2, array.shape).astype(np.float32)
    for name, array in params.items():
        if name.endswith((".gamma", ".beta")):
            array += rng.uniform(-0.3, 0.3, array.shape).astype(np.float32)
    x = np.maximum(normal(rng, LAYER4_N, *RESNET50.shape("layer3"), scale=1.0), 0)
    return params, buffers, x, normal(rng, LAYER4_N, *RESNET50.shape(LAYER4), scale=1.0)


def finetuning() -> Task:
    from scratchlv.vision.resnet import RESNET50
    from scratchlv.vision.units import Way

    params, buffers, x, dy = finetuning_problem()
    params, buffers = ({name: placed(array) for name, array in part.items()} for part in (params, buffers))
    x, dy = placed(x), placed(dy)
    way = Way(params, buffers, RESNET50.eps, train=True)

    def step() -> tuple[Array, dict[str, Array]]:
        y, caches = RESNET50.forward(way, x, (LAYER4,), need_dx=False)
        return y, RESNET50.backward(dy, caches)[1]

    def results() -> dict[str, Any]:
        y, grads = step()
        return on_host({"y": y, **grads})

    return Task(step, results)


# --- what it takes, and who does it ----------------------------------------------------------------------------------


def _vgg_phases(N: int) -> tuple[Phase, ...]:
    """Multiplications as Winograd's F(4x4, 3x3) makes them, 36 for 144, where there are channels enough."""
    phases, side, c_in = [], SIDE, 3
    for c_out in VGG16:
        if isinstance(c_out, str):
            side //= 2
        else:
            direct = matmul_flops(N * side**2, 9 * c_in, c_out)
            phases.append(Phase(direct if c_in == 3 else direct / 4, 4.0 * 9 * c_in * c_out))
            c_in = c_out
    return tuple(phases)


def _small_phases() -> tuple[Phase, ...]:
    """As for VGG16, forward and both gradients; of memory, each block's pooled output and its gradient, written and read once."""
    phases, side, c_in = [], SMALL_SIDE, 3
    for c_out in SMALL:
        direct = matmul_flops(SMALL_N * side**2, 9 * c_in, c_out)
        side //= 2
        phases.append(Phase(2 * direct if c_in == 3 else 3 * direct / 4, 4.0 * SMALL_N * side**2 * c_out * 4))
        c_in = c_out
    return tuple(phases)


def _stem_phases() -> tuple[Phase, ...]:
    """Forward and the gradient of the weights; of memory, pictures, what is pooled, what comes out, and the gradients of both."""
    side, plain = SIDE // 2, matmul_flops(STEM_N * (SIDE // 2) ** 2, 49 * 3, STEM)
    values = STEM_N * (2 * SIDE**2 * 3 + 4 * side**2 * STEM + 2 * side**2 // 4 * STEM)
    return (Phase(2 * plain, 4.0 * values),)


def _finetuning_phases() -> tuple[Phase, ...]:
    """Forward and both gradients, but for those of what is below; 3x3 without a stride as Winograd's F(4x4, 3x3).

    Of memory, each weight read and its gradient written, and what goes into and comes out of each convolution, both ways.
    """
    from scratchlv.vision.resnet import RESNET50

    flops = values = 0.0
    outside, channels = RESNET50.shape("layer3")[0], RESNET50.shape("layer3")[2]
    for unit in RESNET50.units():
        if unit.layer == LAYER4:
            first = unit.shape[-2] == channels
            strided = unit.key.endswith(("0.conv2", "downsample"))
            side = outside if unit.key.endswith("0.conv1") else outside // 2
            plain = matmul_flops(LAYER4_N * side**2, int(np.prod(unit.shape[:-1])), unit.shape[-1])
            winograd = unit.shape[:2] == (3, 3) and not strided
            flops += (2 if first else 3) * plain / (4 if winograd else 1)
            values += 2 * np.prod(unit.shape) + 4 * LAYER4_N * side**2 * unit.shape[-1]
    return (Phase(flops, 4.0 * values),)


def _vgg_case(N: int, ratio: float) -> Case:
    return Case(
        f"vgg16-n{N}",
        f"VGG16 to conv5_3, forward, N={N}",
        partial(vgg, N),
        _vgg_phases(N),
        Goal(ratio=ratio),
        winograd=True,
        tolerance=1e-3,  # Winograd rounds more
    )


CASES = (
    _vgg_case(1, 2.3),
    _vgg_case(8, 2.4),
    Case(
        "small-conv",
        "32-64-128-128 conv3×3 with max-pool on 64×64, N=32; forward and backward",
        small_conv,
        _small_phases(),
        Goal(ratio=1.2),
        winograd=True,
        tolerance=1e-3,  # Winograd rounds more, and of two equal maxima each library may take its own
    ),
    Case(
        "resnet-stem",
        "conv 7×7, stride 2, of 224×224×3 to 64, ReLU, max-pool 3×3, stride 2, N=8; forward and backward",
        stem,
        _stem_phases(),
        Goal(ratio=1.4),
        tolerance=1e-3,  # of two nearly equal maxima each library may take its own
    ),
    Case(
        "finetune-resnet50",
        "ResNet-50's layer4 finetuned, batch normalisation's statistics frozen, of 14×14×1024, N=16; forward and backward",
        finetuning,
        _finetuning_phases(),
        Goal(ratio=2.0),
        winograd=True,
        # where a number is nearly 0, ReLU is open to one and closed to another, and sums of 784 have it or not: against
        # gradients in float64 ours are 0.06% away in norm, PyTorch's 0.17% and, contiguous, 0.30%
        tolerance=1e-2,
        by_norm=True,
    ),
)
