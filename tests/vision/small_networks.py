"""The architectures of the pretrained networks, a few channels wide and a few pixels large; and files of weights for them."""

import numpy as np

from scratchlv.vision.efficientnet_lite import EfficientNetLite, Stage
from scratchlv.vision.resnet import ResNet
from scratchlv.vision.vgg import VGG

RESNET = ResNet(name="small-resnet", side=33, blocks=(2, 1), width=3, classes=5, regions="layer2")
VGG_ = VGG(name="small-vgg", side=13, blocks=((3, 4), (5,), (4, 6)), wide=7, classes=5, regions="conv3_2")
LITE = EfficientNetLite(
    name="small-lite",
    side=21,
    stages=(Stage(1, 3, 1, 1, 4), Stage(2, 5, 2, 6, 5), Stage(2, 3, 1, 2, 5)),
    stem=3,
    head=8,
    classes=5,
    regions="stage3",
    vector="stage3",
)
NETWORKS = {network.name: network for network in (RESNET, VGG_, LITE)}


def twin(network, arrays, layers):
    """What comes out of each of ``layers``, of preprocessed pictures (N, 3, H, W) in float64: in PyTorch, as its users write it.

    It is written from the papers and torchvision's names, and knows nothing of ours but these shapes.
    """
    import torch

    F = torch.nn.functional
    w = {key: torch.from_numpy(array).double() for key, array in arrays.items()}
    for array in w.values():
        array.requires_grad_()

    def norm(x, name):
        mean, var, gamma, beta = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean.detach(), var.detach(), gamma, beta, eps=network.eps)

    def same(x, name, stride=1, groups=1):
        W = w[f"{name}.weight"]
        pads = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(x.shape[2:], W.shape[2:], strict=True)]
        x = F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        return F.conv2d(x, W, stride=stride, groups=groups)

    def resnet(x, layer):
        if layer == "conv1":
            x = F.relu(norm(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), "bn1"))
            return F.max_pool2d(x, 3, 2, 1)
        if layer == "avgpool":
            return x.mean((2, 3), keepdim=True)
        if layer == "fc":
            return F.linear(x.flatten(1), w["fc.weight"], w["fc.bias"])[:, :, None, None]
        for i in range(network.blocks[int(layer[-1]) - 1]):
            name, stride = f"{layer}.{i}", 2 if layer != "layer1" and i == 0 else 1
            y = F.relu(norm(F.conv2d(x, w[f"{name}.conv1.weight"]), f"{name}.bn1"))
            y = F.relu(norm(F.conv2d(y, w[f"{name}.conv2.weight"], stride=stride, padding=1), f"{name}.bn2"))
            y = norm(F.conv2d(y, w[f"{name}.conv3.weight"]), f"{name}.bn3")
            if f"{name}.downsample.0.weight" in w:
                x = norm(F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = F.relu(x + y)
        return x

    def vgg(x, layer):
        if layer.startswith("fc"):
            if layer == "fc6":
                x = F.max_pool2d(x, 2).flatten(1)[:, :, None, None]
            name = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}[layer]
            x = F.linear(x.flatten(1), w[f"{name}.weight"], w[f"{name}.bias"])[:, :, None, None]
            return x if layer == "fc8" else F.relu(x)
        if layer.endswith("_1") and layer != "conv1_1":
            x = F.max_pool2d(x, 2)
        block, i = map(int, layer[4:].split("_"))
        number = sum(2 * len(channels) + 1 for channels in network.blocks[: block - 1]) + 2 * (i - 1)
        return F.relu(F.conv2d(x, w[f"features.{number}.weight"], w[f"features.{number}.bias"], padding=1))

    def lite(x, layer):
        if layer == "stem":
            return F.relu6(norm(same(x, "_conv_stem", 2), "_bn0"))
        if layer == "head":
            return F.relu6(norm(same(x, "_conv_head"), "_bn1"))
        if layer == "avgpool":
            return x.mean((2, 3), keepdim=True)
        if layer == "fc":
            return F.linear(x.flatten(1), w["_fc.weight"], w["_fc.bias"])[:, :, None, None]
        k = int(layer[-1]) - 1
        first = sum(stage.repeats for stage in network.stages[:k])
        for i in range(network.stages[k].repeats):
            name, before = f"_blocks.{first + i}", x
            if f"{name}._expand_conv.weight" in w:
                x = F.relu6(norm(same(x, f"{name}._expand_conv"), f"{name}._bn0"))
            stride = network.stages[k].stride if i == 0 else 1
            x = F.relu6(norm(same(x, f"{name}._depthwise_conv", stride, x.shape[1]), f"{name}._bn1"))
            x = norm(same(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + before if x.shape == before.shape else x
        return x

    step = {ResNet: resnet, VGG: vgg, EfficientNetLite: lite}[type(network)]

    def run(x):
        found = []
        for layer in layers:
            x = step(x, layer)
            found.append(x)
        return found

    return run, w


def weights_of(network, seed: int = 0, layers=None) -> dict[str, np.ndarray]:
    """As a file has them, of a size that keeps the activations' size from layer to layer; of some layers, or of all."""
    rng = np.random.default_rng(seed)
    found = {}
    for unit in network.units():
        if layers is not None and unit.layer not in layers:
            continue
        for name, shape in unit.arrays().items():
            part = name.rpartition(".")[2]
            if len(shape) > 1:
                array = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            elif part in ("weight", "running_var"):
                array = rng.uniform(0.6, 1.4, shape)
            else:
                array = rng.normal(0, 0.2, shape)
            found[name] = array.astype(np.float32)
    return found
