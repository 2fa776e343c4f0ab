"""VGG16, with random weights: against the reference, and against torch where it is installed."""

import numpy as np
import pytest

import scratchlv
from scratchlv.errors import UserError
from scratchlv.vision.vgg import BLOCKS, VGG16, preprocess

NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of the convolutions in torchvision's file


def torchvision_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng, C, weights = np.random.default_rng(seed), 3, {}
    for number, M in zip(NUMBERS, [M for block in BLOCKS for M in block], strict=True):
        weights[f"features.{number}.weight"] = rng.normal(0, np.sqrt(2 / (9 * C)), (M, C, 3, 3)).astype(np.float32)
        weights[f"features.{number}.bias"] = rng.normal(0, 0.1, M).astype(np.float32)
        C = M
    return weights


@pytest.fixture(scope="module")
def weights():
    return torchvision_weights()


@pytest.fixture(scope="module")
def net(weights):
    return VGG16(weights)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 37, 50, 3), np.uint8)


def assert_close(actual, expected, relative):
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    assert abs(actual - expected).max() <= relative * abs(expected).max()


def test_shapes(net, images):
    assert net.features(images).shape == (3, 2, 3, 512)
    assert net.features(images).dtype == np.float32
    assert net.features(images[:0]).shape == (0, 14, 14, 512)
    assert VGG16.random().features(np.zeros((1, *net.size, 3), np.uint8)).shape == (1, *net.shape)


def test_pictures_do_not_see_each_other(net, images):
    together = net.features(images)
    for i in range(3):
        np.testing.assert_array_equal(net.features(images[i : i + 1])[0], together[i])


def test_the_reference_says_the_same(net, images):
    """Thirteen layers of Winograd's filtering, each within 2e-5 of its largest number (kernels/conv2d/README.md)."""
    with scratchlv.use("reference"):
        expected = net.features(images)
    assert_close(net.features(images), expected, relative=13 * 2e-5)


def test_colours_are_normalised_as_torchvision_does():
    image = np.zeros((1, 1, 1, 3), np.uint8)
    image[..., 0] = 255
    np.testing.assert_allclose(
        preprocess(image)[0, 0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6
    )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_files(tmp_path, weights, net, images, suffix):
    path = tmp_path / f"vgg16{suffix}"
    if suffix == ".pth":
        torch = pytest.importorskip("torch", reason="torch writes the file")
        torch.save({key: torch.from_numpy(array) for key, array in weights.items()}, path)
    else:
        from safetensors.numpy import save_file

        save_file(weights, path)
    read = VGG16.load(path)
    assert read.checksum == net.checksum
    np.testing.assert_array_equal(read.features(images[:1]), net.features(images[:1]))


def test_other_files_are_refused(tmp_path, weights):
    with pytest.raises(UserError, match=r"does not exist"):
        VGG16.load(tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{nothing}")
    with pytest.raises(UserError, match=r"damaged\.safetensors is damaged or no safetensors file"):
        VGG16.load(tmp_path / "damaged.safetensors")
    without = {key: array for key, array in weights.items() if key != "features.12.bias"}
    with pytest.raises(UserError, match=r"lite\.pth has no 'features\.12\.bias'; give the weights of VGG16"):
        VGG16(without, "lite.pth")
    with pytest.raises(UserError, match=r"'features\.0\.weight' of shape \(64, 1, 3, 3\) instead of \(64, 3, 3, 3\)"):
        VGG16(weights | {"features.0.weight": np.zeros((64, 1, 3, 3), np.float32)})


def test_other_inputs_are_refused(net, images):
    for wrong in (images[0], images.astype(np.float32), images[..., :1]):
        with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\)"):
            net.features(wrong)


def test_it_agrees_with_torch(net, weights, images):
    torch = pytest.importorskip("torch", reason="torch computes what to compare with")
    F = torch.nn.functional
    x = torch.from_numpy(images).double().permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean[:, None, None]) / deviation[:, None, None]
    for number in NUMBERS:
        if number in (5, 10, 17, 24):
            x = F.max_pool2d(x, 2)
        W, b = (torch.from_numpy(weights[f"features.{number}.{part}"]).double() for part in ("weight", "bias"))
        x = F.relu(F.conv2d(x, W, b, padding=1))
    assert_close(net.features(images), x.permute(0, 2, 3, 1).numpy(), relative=13 * 2e-5)
