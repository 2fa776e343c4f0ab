"""The names that earlier versions gave to what a run holds, and what they are called now: the one place that knows both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

_TENSORS = {"params/begin.W": "params/init_state.W", "params/begin.b": "params/init_state.b"}
_CONFIG = {"eyes": "encoder"}
_SETTINGS = {"eyes_steps": "encoder_steps", "gaze": "attention_loss"}
_FOLDERS = {"encoder": "eyes"}  # these are looked for by their new names

# config.json was flat: beside what was asked for stood
_FITTED = (
    "vocabulary",
    "source_vocabulary",
    "opening",
    "streams",
    "unroll",
    "answers",
    "prior",
    "feature_channels",
    "regions",
)

Value = TypeVar("Value")


def renamed_tensors(tensors: dict[str, Value]) -> dict[str, Value]:
    """The tensors of a checkpoint by today's names."""
    return _renamed(tensors, _TENSORS)


def renamed_config(found: Any) -> dict[str, Any]:
    """What a config.json holds as ``{"asked": …, "fitted": …}``, by today's names."""
    found = found if isinstance(found, dict) else {}
    if "asked" in found:
        return found | {"asked": _with_backbone(found["asked"])}
    asked = _renamed({name: value for name, value in found.items() if name not in _FITTED}, _CONFIG)
    if isinstance(asked.get("settings"), dict):
        asked["settings"] = _renamed(asked["settings"], _SETTINGS)
    return {"asked": _with_backbone(asked), "fitted": {name: found[name] for name in _FITTED if name in found}}


def _with_backbone(asked: Any) -> Any:
    """What was asked for, with what pictures were looked at through: that was not said where there was no choice.

    A captioner's was called its encoder; EfficientNet-Lite0 gave the features of its last stage.
    """
    if not isinstance(asked, dict) or asked.get("task") not in ("caption", "vqa"):
        return asked
    asked = dict(asked)
    if asked["task"] == "caption" and "encoder" in asked:
        asked["backbone"] = asked.pop("encoder")
    if "backbone" not in asked:
        drawn = asked["task"] == "caption" or asked.get("data") in ("scenes", "easy-vqa")
        asked["backbone"] = "conv" if drawn else "efficientnet-lite0"
    if asked["backbone"] == "efficientnet-lite0":
        asked.setdefault("layer", "stage7")
    return asked


def renamed_folder(folder: Path) -> Path:
    """``folder``, or the one that it was called before where only that is there."""
    before = folder.with_name(_FOLDERS[folder.name])
    return before if before.is_dir() and not folder.is_dir() else folder


def _renamed(found: dict[str, Value], names: dict[str, str]) -> dict[str, Value]:
    return {names.get(name, name): value for name, value in found.items()}
