"""What a run looks at pictures through: which network, with whose weights, up to which layer, and what of it is trained along.

The same for every task about pictures. ``conv`` is the small network that is trained from nothing, in the model itself; the
others come pretrained on ImageNet. Up to ``layer``, or to what is below the lowest layer that is finetuned, they are frozen: the
features of each picture are computed once, and kept (:mod:`scratchlv.vision.features`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError
from scratchlv.tasks import BACKBONES, records, training

if TYPE_CHECKING:
    from scratchlv.vision.backbones import Network, Pretrained
    from scratchlv.vision.features import Extractor
    from scratchlv.vision.finetuning import Finetuned

CONV, PRETRAINED = BACKBONES[:2]  # the defaults for drawn pictures, and for photographs
DRAWN = ("scenes", "easy-vqa")  # kinds of data simple enough that one learns to see from them alone
_VECTORS = ("naive", "shortcut")  # models that take one vector for a whole picture


@dataclass(frozen=True, kw_only=True)
class Settings(records.Settings):
    crop: bool = (
        False  # of photographs the middle, as torchvision tests its networks; False: the whole, brought to a square
    )
    finetune_rate: float = 0.1  # the learning rate of what is finetuned, as a share of all others'
    batch_statistics: bool = False  # of what is finetuned, normalise by each batch's statistics; False: by ImageNet's


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings
    backbone: str = CONV
    weights: str | None = None  # a file; None: those of a package, if the backbone has any
    layer: str | None = None  # whose features the model gets; None of conv
    finetune: str | None = None  # the lowest layer that is trained along

    @property
    def network(self) -> Network | None:
        """The architecture; None of conv."""
        from scratchlv.vision.backbones import network_of

        return None if self.backbone == CONV else network_of(self.backbone)

    @property
    def finetuned(self) -> Finetuned | None:
        """The layers that are trained along."""
        from scratchlv.vision.finetuning import Finetuned

        if self.finetune is None:
            return None
        network = self.network
        assert network is not None
        return Finetuned(network, _from(network, self.finetune, self.layer), self.settings.batch_statistics)


@dataclass(frozen=True, kw_only=True)
class Fitted(records.Fitted):
    feature_channels: int | None  # None: it has a conv extractor of its own
    weights_checksum: str | None = None  # of the backbone's; None: conv's, or the run is from before they were noted


C = TypeVar("C", bound=Config)
F = TypeVar("F", bound=Fitted)


# --- what was asked for ------------------------------------------------------------------------------------------


def chosen(
    asked: C, backbone: str | None, weights: Path | None, layer: str | None, finetune: str | None, overrides: list[str]
) -> C:
    """The config with its backbone, checked; what is None has its default.

    Raises:
        UserError: there is no such layer, or what was asked for makes no sense together.
    """
    kind = asked.argument.kind
    backbone = backbone or (CONV if kind in DRAWN else PRETRAINED)
    if backbone == CONV:
        _refuse_with_conv(kind, weights, layer, finetune)
    resolved = None if weights is None else str(Path(weights).resolve())
    asked = replace(asked, backbone=backbone, weights=resolved)
    network = asked.network
    if network is not None:
        from scratchlv.vision.backbones import needs_file

        if weights is None:
            needs_file(backbone)
        if layer is None:
            layer = network.vector if asked.model in _VECTORS else network.regions
        _check_layer(network, asked.model, layer, finetune)
        asked = replace(asked, layer=layer, finetune=finetune)
    records.refuse_idle(asked, overrides, _idle(asked))
    return asked


def _refuse_with_conv(kind: str, weights: Path | None, layer: str | None, finetune: str | None) -> None:
    others = ", ".join(BACKBONES[1:])
    if kind not in DRAWN:
        raise UserError(f"--backbone conv learns to see from drawn pictures, not from --data {kind}; choose {others}")
    for option, value in (("--weights", weights), ("--layer", layer), ("--finetune", finetune)):
        if value is not None:
            raise UserError(
                f"{option} {value} does not go with --backbone conv, which is trained from nothing; "
                f"leave it out, or choose {others}"
            )


def _check_layer(network: Network, model: str, layer: str, finetune: str | None) -> None:
    from scratchlv.vision.backbones import up_to

    below = up_to(network, layer)
    if model not in _VECTORS and network.shape(layer)[:2] == (1, 1):
        some = [name for name in network.layers if network.shape(name)[0] > 1]
        raise UserError(
            f"--layer {layer} of {network.name} is one vector for the whole picture, and --model {model} looks at regions; "
            f"choose one of {', '.join(some)}"
        )
    if finetune is None:
        return
    trained = {unit.layer for unit in network.units()}
    some = [name for name in below if name in trained]
    if finetune not in some:
        problem = "has no such layer"
        if finetune in network.layers:
            problem = f"has it above --layer {layer}" if finetune not in below else "has no weights there"
        raise UserError(
            f"--finetune {finetune}: {network.name} {problem}; it can be trained from one of {', '.join(some)} up"
        )


def _idle(config: Config) -> dict[str, str]:
    """The settings that do nothing, each with what it does not go with."""
    idle: dict[str, str] = {}
    if config.argument.kind in DRAWN:
        idle["crop"] = f"--data {config.argument.kind}"
    finetuned = config.finetuned
    if finetuned is None:
        idle |= dict.fromkeys(("finetune_rate", "batch_statistics"), "a backbone that is not finetuned")
    elif all(unit.norm is None for unit in finetuned.units()):
        idle["batch_statistics"] = f"{config.backbone}, which has no batch normalisation"
    return idle


def _from(network: Network, lowest: str, highest: str | None) -> tuple[str, ...]:
    layers = network.layers
    return layers[layers.index(lowest) : layers.index(highest or layers[-1]) + 1]


# --- the network and its weights ---------------------------------------------------------------------------------


def pretrained(config: Config, fitted: Fitted | None) -> Pretrained | None:
    """The weights of a run's backbone, the same as those that it was ``fitted`` with; None of conv.

    Raises:
        UserError: they are gone, or others.
    """
    if config.backbone == CONV:
        return None
    from scratchlv.vision.backbones import network_of, pretrained_file, read, up_to

    trained = fitted is not None
    if trained and config.weights is not None and not Path(config.weights).is_file():
        raise UserError(
            f"{config.weights} is no longer there, and the run looks through it at pictures; "
            "put these weights, or a link to them, there again"
        )
    assert config.layer is not None
    found = read(config.backbone, config.weights, up_to(network_of(config.backbone), config.layer))
    wanted = None if fitted is None else fitted.weights_checksum
    if wanted is not None and found.checksum != wanted:
        path = config.weights or pretrained_file(config.backbone)
        raise UserError(
            f"{path} holds other weights than those that the run was trained with (their checksum is "
            f"{found.checksum[:12]}, it was {wanted[:12]}); put those there again"
        )
    return found


def extractor(config: Config, weights: Pretrained | None) -> Extractor | None:
    """What makes features of pictures; None of conv, which is shown the pictures.

    With --finetune they are what is below the lowest of those layers: the pictures' own pixels, if there is nothing below.
    """
    from scratchlv.vision.backbones import Backbone, Pixels

    network, finetuned = config.network, config.finetuned
    if network is None:
        return None
    if finetuned is not None and finetuned.from_pictures:
        return Pixels(network, crop=config.settings.crop)
    assert weights is not None
    layer = config.layer
    if finetuned is not None:
        layer = network.layers[network.layers.index(finetuned.layers[0]) - 1]
    return Backbone(weights, layer, crop=config.settings.crop)


def begin_finetuning(model: Any, config: Config, weights: Pretrained | None) -> None:
    """Give a model whose training begins the pretrained weights of what it finetunes."""
    from scratchlv.vision import finetuning

    finetuned = config.finetuned
    if finetuned is not None and weights is not None:
        params, buffers = finetuning.load(weights.arrays, finetuned)
        model.params.update(params)
        model.buffers.update(buffers)


def fitted_channels(config: Config, pictures: Array) -> tuple[tuple[int, int] | None, int | None]:
    """Rows and columns of the regions, and numbers of each, that models get of ``pictures``; None of pictures as they are."""
    if config.finetuned is not None and config.network is not None:
        h, w, C = config.network.shape(config.layer or "")
        return (h, w), C
    if pictures.dtype == np.uint8:
        return None, None
    return (pictures.shape[1], pictures.shape[2]), int(pictures.shape[3])


class Run(training.Run[C, F], Generic[C, F]):
    """A run that looks at pictures."""

    @cached_property
    def extractor(self) -> Extractor | None:
        """What makes features of pictures; None: the model is shown them as they are."""
        finetuned = self.config.finetuned
        whole = finetuned is not None and finetuned.from_pictures  # then every weight is the run's own
        return extractor(self.config, None if whole else pretrained(self.config, self.fitted))
