"""Whether the arrays of a file are a network's weights; and if not, what is wrong with them, and whose they look like."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from scratchlv.errors import UserError
from scratchlv.vision.units import Unit

_MOST = 8  # names of a kind that a sentence lists
_COUNTER = "num_batches_tracked"  # PyTorch's, of batch normalisations; nobody needs it


def check(arrays: dict[str, np.ndarray], units: Iterable[Unit], used: set[str], source: str, name: str) -> None:
    """
    Args:
        units: of the whole network; of those of the layers ``used``, every array must be there and be right.
        source: what the file is called.
        name: of the network.

    Raises:
        UserError: arrays are missing, unknown, of another shape or not finite; all that is wrong is said at once.
    """
    looks = looks_like(arrays)
    if looks not in (None, name):
        raise UserError(f"{source}: these look like {looks}'s weights, not {name}'s; give those of {name}")
    known: dict[str, tuple[int, ...]] = {}
    needed: dict[str, tuple[int, ...]] = {}
    for unit in units:
        known |= unit.arrays()
        if unit.layer in used:
            needed |= unit.arrays()
    there = {key: shape for key, shape in needed.items() if key in arrays}
    wrong = [f"{k} {arrays[k].shape} instead of {shape}" for k, shape in there.items() if arrays[k].shape != shape]
    nan = [key for key in there if not np.isfinite(arrays[key]).all()]
    problems = {
        "missing": [key for key in needed if key not in arrays],
        "of another shape": wrong,
        "unknown": [key for key in arrays if key not in known and not key.endswith(_COUNTER)],
        "with NaN or infinity": nan,
    }
    found = [f"{len(keys)} {kind} ({_listed(keys)})" for kind, keys in problems.items() if keys]
    if found:
        raise UserError(f"{source} does not hold the weights of {name}: of its arrays, {'; '.join(found)}")


def _listed(names: list[str]) -> str:
    more = [f"and {len(names) - _MOST} more"] if len(names) > _MOST + 1 else []
    return ", ".join([*(names[:_MOST] if more else names), *more])


def looks_like(arrays: dict[str, np.ndarray]) -> str | None:
    """The architecture, among those that are about in PyTorch, whose weights these may be; None: unknown."""
    if "_conv_stem.weight" in arrays:
        return _efficientnet(arrays)
    if "layer1.0.conv1.weight" in arrays:
        return _resnet(arrays)
    if "features.0.weight" in arrays and arrays["features.0.weight"].ndim == 4:
        return _plain(arrays)
    for key, name in _BY_NAME.items():
        if key in arrays:
            return name
    return None


#: names that only one family has
_BY_NAME = {
    "features.0.0.weight": "a torchvision EfficientNet, MobileNet or ConvNeXt",
    "features.conv0.weight": "a DenseNet",
    "Conv2d_1a_3x3.conv.weight": "inception_v3",
    "conv_proj.weight": "a vision transformer",
    "cls_token": "a vision transformer",
    "visual.conv1.weight": "CLIP",
    "conv_stem.weight": "a timm EfficientNet",
}
_RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {  # bottlenecks?, blocks in each layer
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
_VGGS = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}  # by the number of convolutions
_LITES = {  # blocks, channels out of the last
    (16, 320): "efficientnet-lite0",
    (21, 320): "efficientnet-lite1",
    (21, 352): "efficientnet-lite2",
    (24, 384): "efficientnet-lite3",
    (30, 448): "efficientnet-lite4",
}


def _resnet(arrays: dict[str, np.ndarray]) -> str | None:
    blocks = tuple(_count(rf"layer{k}\.(\d+)\.", arrays) for k in range(1, 5))
    bottlenecks = "layer1.0.conv3.weight" in arrays
    name = _RESNETS.get((bottlenecks, blocks))
    inside = arrays.get("layer1.0.conv2.weight")
    if name and bottlenecks and inside is not None and inside.ndim == 4:
        if inside.shape[1] != inside.shape[0]:
            return "a ResNeXt"
        if inside.shape[0] == 128:
            return f"wide_{name}_2"
    return name


def _plain(arrays: dict[str, np.ndarray]) -> str | None:
    convolutions = [
        key for key, array in arrays.items() if re.fullmatch(r"features\.\d+\.weight", key) and array.ndim == 4
    ]
    normalised = "_bn" if any(re.fullmatch(r"features\.\d+\.running_mean", key) for key in arrays) else ""
    if arrays["features.0.weight"].shape[2:] == (11, 11):
        return "alexnet"
    name = _VGGS.get(len(convolutions))
    return name and name + normalised


def _efficientnet(arrays: dict[str, np.ndarray]) -> str | None:
    if any("_se_reduce" in key for key in arrays):
        return "an EfficientNet-B"
    blocks = _count(r"_blocks\.(\d+)\.", arrays)
    last = arrays.get(f"_blocks.{blocks - 1}._project_conv.weight")
    return None if last is None else _LITES.get((blocks, len(last)))


def _count(pattern: str, arrays: dict[str, np.ndarray]) -> int:
    """How many numbers there are at this place of the names."""
    return len({found[1] for key in arrays if (found := re.match(pattern, key))})
