"""What is asked of a run that is there already: what may change, and what is refused because the run was made otherwise."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

from scratchlv.errors import UserError
from scratchlv.shell import command
from scratchlv.tasks import data_argument, records
from scratchlv.tasks.data_argument import FORMS
from scratchlv.tasks.records import Config
from scratchlv.training import checkpoint

MAY_CHANGE = ("steps", "validate_every")  # settings that a run may be given anew when it is resumed

C = TypeVar("C", bound=Config)


def resumed(folder: Path, config: C, asked: dict[str, Any], overrides: list[str]) -> tuple[C, list[str]]:
    """The config of a run that goes on, and what of it is new, in words.

    Args:
        asked: what the command line says besides, by the fields of the config; None where it says nothing.
        overrides: ``key=value`` strings.

    Raises:
        UserError: something differs that cannot change half-way, the run is already further, or its data is gone.
    """
    if asked.get("data") is not None:
        asked = asked | {"data": str(data_argument.parse(asked["data"], config.task))}
    else:
        _refuse_gone(config, f"put it, or a link to it, there again to go on with {folder}")
    settings = records.override(config.settings, overrides)
    differing = [
        _difference(f"--{name.replace('_', '-')}", value, getattr(config, name))
        for name, value in asked.items()
        if value is not None and value != getattr(config, name)
    ]
    changes = [
        (field.name, getattr(config.settings, field.name), getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if getattr(config.settings, field.name) != getattr(settings, field.name)
    ]
    differing += [f"{name}={new} (it was made with {old})" for name, old, new in changes if name not in MAY_CHANGE]
    if differing:
        raise UserError(
            f"{folder} cannot go on with {', '.join(differing)}: only {' and '.join(MAY_CHANGE)} can change with --resume; "
            "leave the rest out, or train anew with another --out"
        )
    _refuse_fewer_steps(folder, settings.steps)
    return dataclasses.replace(config, settings=settings), [
        f"{name}: {new}, before {old}" for name, old, new in changes
    ]


def _difference(option: str, asked: Any, has: Any) -> str:
    given = option if asked is True else f"{option} {asked}"
    return f"{given} (it was made {'without' if has is None or has is False else f'with {has}'})"


def _refuse_fewer_steps(folder: Path, steps: int) -> None:
    made = max(checkpoint.latest_steps(folder), default=0)
    if steps < made:
        raise UserError(f"steps={steps}: {folder} has made {made} steps already; give as many or more")


def with_data(folder: Path, config: C, data: str | None) -> C:
    """The config of a run that is to be evaluated on ``data``; None: on what it was trained on.

    Raises:
        UserError: the data is of another kind, or what it was trained on is gone.
    """
    form = FORMS[config.argument.kind]
    if data is None:
        _refuse_gone(config, f"if it has moved, say where it is: {command('evaluate', folder, '--data')} {form}")
        return config
    argument = data_argument.parse(data, config.task)
    if argument.kind != config.argument.kind:
        raise UserError(f"--data {data}: {folder} was trained on {config.argument.kind}; give {form}")
    return dataclasses.replace(config, data=str(argument))


def _refuse_gone(config: Config, advice: str) -> None:
    for part in config.argument.arguments:
        if os.path.isabs(part) and not os.path.exists(part):
            raise UserError(f"{part} is no longer there, and the run was trained on it; {advice}")
