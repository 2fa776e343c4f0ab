"""VGG16, forward only: thirteen convolutions of 3x3, the network that the lecture's attention looks at.

Simonyan & Zisserman 2015. Five blocks; in each, two or three convolutions with ReLU, and after it 2x2 max-pooling:

    224 x 224 x 3 -> 64, 64 -> 112 -> 128, 128 -> 56 -> 256, 256, 256 -> 28 -> 512, 512, 512 -> 14 -> 512, 512, 512

What attention looks at are the 14 x 14 = 196 regions of 512 channels that come out of conv5_3, before the last pooling. The
fully connected layers behind, nine tenths of the weights, are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scratchlv.ops import conv2d, pack
from scratchlv.vision.weights import NamedWeights, checksum, read_weights

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels out of each convolution
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's colours, 0 to 1
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_BATCH = 8  # pictures at once
_OWN_CACHE = (
    3  # blocks that each picture goes through by itself, so that it stays in the cache; weights are large later
)


class VGG16:
    """The network with its weights.

    Attributes:
        params: "conv1_1.W" (3, 3, in, out), "conv1_1.b" (out,) …, float32.
        checksum: of the weights; features computed by other weights have another.
    """

    name = "vgg16"
    size = (224, 224)  # of the pictures that it was trained on
    shape = (14, 14, 512)  # of a picture's features

    def __init__(self, weights: dict[str, np.ndarray], source: str = "the weights given") -> None:
        """From arrays named and laid out as torchvision does: "features.0.weight" (out, in, 3, 3) …

        Raises:
            UserError: an array is missing or has another shape: these are the weights of another network.
        """
        named = NamedWeights(weights, source, "VGG16")
        self.params: dict[str, np.ndarray] = {}
        for key, number, C, M in _layers():
            W = named.take(f"features.{number}.weight", M, C, 3, 3).transpose(2, 3, 1, 0)
            self.params[f"{key}.W"] = pack(W.astype(np.float32))
            self.params[f"{key}.b"] = named.take(f"features.{number}.bias", M).astype(np.float32)
        self.checksum = checksum(self.params)

    @classmethod
    def load(cls, path: str | Path) -> VGG16:
        """From torchvision's file (``vgg16-397923af.pth``, ``torch.save``), or a safetensors file of the same names.

        Raises:
            UserError: the file cannot be read, or is not this network's.
        """
        return cls(read_weights(path), str(path))

    @classmethod
    def random(cls, seed: int = 0) -> VGG16:
        """With random weights (He et al. 2015), for timing and tests."""
        rng = np.random.default_rng(seed)
        weights: dict[str, np.ndarray] = {}
        for _, number, C, M in _layers():
            weights[f"features.{number}.weight"] = rng.normal(0, np.sqrt(2 / (9 * C)), (M, C, 3, 3)).astype(np.float32)
            weights[f"features.{number}.bias"] = rng.normal(0, 0.05, M).astype(np.float32)
        return cls(weights, "random weights")

    def features(self, images: np.ndarray) -> np.ndarray:
        """What ``images`` (N, H, W, 3), uint8 RGB, hold in each of their regions: (N, H // 16, W // 16, 512) float32.

        For pictures of the size trained on, 224 x 224, that is 14 x 14 regions.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}, and should be uint8 (N, H, W, 3)")
        parts = [self.forward(preprocess(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape), np.float32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """conv5_3 with its ReLU (N, H // 16, W // 16, 512), of preprocessed pictures (N, H, W, 3), at least 16 x 16."""
        first = [self._blocks(picture, 0, _OWN_CACHE) for picture in x[:, None]]
        x = np.concatenate(first) if len(first) > 1 else first[0]
        return self._blocks(x, _OWN_CACHE, len(BLOCKS))

    def _blocks(self, x: np.ndarray, first: int, last: int) -> np.ndarray:
        for block in range(first, last):
            for i in range(len(BLOCKS[block])):
                key = f"conv{block + 1}_{i + 1}"
                pool = i + 1 == len(BLOCKS[block]) and block + 1 < len(BLOCKS)
                W, b = self.params[f"{key}.W"], self.params[f"{key}.b"]
                x, _ = conv2d.forward(x, W, b, padding=1, relu=True, pool=pool, train=False)
        return x


def preprocess(images: np.ndarray) -> np.ndarray:
    """Bytes of RGB to numbers of mean 0 and deviation 1 over ImageNet, as torchvision's networks want them."""
    return (images / np.float32(255) - _MEAN) / _STD


def _layers():
    """Each convolution: its name in the paper, its number in torchvision's ``features``, channels in and out."""
    number, C = 0, 3
    for block, channels in enumerate(BLOCKS, 1):
        for i, M in enumerate(channels, 1):
            yield f"conv{block}_{i}", number, C, M
            number, C = number + 2, M  # ReLU has a number too
        number += 1  # … and pooling
