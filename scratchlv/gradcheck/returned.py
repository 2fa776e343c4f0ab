"""What somebody's backward returns, matched with the inputs: by position or by name, in tuples, lists, dicts and records."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchlv.device import to_host
from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.inputs import Inputs, Refused
from scratchlv.gradcheck.trees import is_record

_MOST_ORDERS = 6  # gradients, whose 720 orders are tried


class Yielded(dict):
    """What a backward has yielded by name: gradients of inputs, and of what lies between."""


@dataclasses.dataclass
class Returned:
    """Gradients by the input's name, those whose shape fits; and what is wrong with the others."""

    gradients: dict[str, np.ndarray]
    problems: list[str]
    settings: list[str]  # numbers for which there is no gradient
    whole: list[str]  # inputs of whole numbers that have one


def match(returned: Any, inputs: Inputs) -> Returned:
    """The gradients that backward returns, by the names of the inputs.

    Raises:
        Refused: they cannot be told apart; it says what was expected, and what came.
    """
    if not inputs.moved:
        there = f"; {', '.join(sorted(inputs.integers))} has whole numbers: write 1.0 for 1" if inputs.integers else ""
        raise Refused("no input is a floating-point number that could be moved, so there is nothing to check" + there)
    if returned is None:
        raise Refused(f"backward returns None, and should return {_wanted(inputs)}: is its return missing?")
    found = _by_name(returned, inputs) if _has_names(returned, inputs) else _by_position(returned, inputs)
    gradients: dict[str, np.ndarray] = {}
    settings: list[str] = []
    missing: list[str] = []
    for name in inputs.moved:
        if found.get(name) is None:
            (settings if name in inputs.optional else missing).append(name)
        else:
            gradients[name] = _as_array(name, found[name])
    if missing:
        raise Refused(_no_gradient(missing, inputs))
    problems = _shape_problems(gradients, inputs)
    fitting = {name: grad for name, grad in gradients.items() if grad.shape == inputs.arrays[name].shape}
    whole = [name for name in sorted(inputs.integers) if found.get(name) is not None and np.any(found[name])]
    return Returned(fitting, problems, settings, whole)


def _wanted(inputs: Inputs) -> str:
    return ", ".join(_symbol(name) for name in inputs.moved if name not in inputs.optional) or ", ".join(
        _symbol(name) for name in inputs.moved
    )


def _symbol(name: str) -> str:
    return f"d{name}"


def _no_gradient(missing: list[str], inputs: Inputs) -> str:
    names = ", ".join(missing)
    text = f"backward returns no gradient of {names}, and should return {_wanted(inputs)}; "
    if not all(name.isidentifier() for name in missing):  # beside others, which have one
        return f"{text}a part is missing in what it returns, as a key of a dict that is forgotten"
    return f"{text}if {names} has none (a mask or a target, say), name it: fixed={missing!r}"


def _as_array(name: str, gradient: Any) -> np.ndarray:
    array = np.asarray(to_host(gradient))
    if array.dtype.kind not in "fiub":
        raise Refused(f"d{name} is {_kind_of(gradient)}, and should be an array of floating-point numbers")
    return array


def _kind_of(value: Any) -> str:
    array = np.asarray(value)
    return f"of dtype {array.dtype}" if array.dtype.kind in "cO" and array.ndim else f"a {type(value).__name__}"


# --- by name ---------------------------------------------------------------------------------------------------------


def _fields(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    if is_record(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return None


def _key_of(name: str, fields: dict[str, Any]) -> str | None:
    forms = (f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad", f"{name}_bar", f"∂{name}", name)
    return next((form for form in forms if form in fields), None)


def _has_names(returned: Any, inputs: Inputs) -> bool:
    fields = _fields(returned)
    if fields is None:
        return False
    return isinstance(returned, dict) or any(_key_of(name, fields) for name in inputs.parameters)


def _by_name(returned: Any, inputs: Inputs) -> dict[str, Any]:
    fields = _fields(returned) or {}
    if not any(_key_of(name, fields) for name in inputs.parameters):
        only = _parameters_moved(inputs)
        if len(only) == 1 and not isinstance(
            inputs.given[only[0]], np.ndarray
        ):  # the gradients of one dict of parameters
            return _inside(only[0], inputs.given[only[0]], returned, inputs)
        raise Refused(
            f"backward returns a dict of {', '.join(fields) or 'nothing'}, and should return {_wanted(inputs)}"
        )
    keys = {name: _key_of(name, fields) for name in inputs.parameters}
    surplus = [key for key in fields if key not in keys.values() and not isinstance(returned, Yielded)]
    _refuse_surplus(surplus, inputs)
    return _merged(_inside(n, inputs.given[n], fields[key], inputs) for n, key in keys.items() if key is not None)


def _parameters_moved(inputs: Inputs) -> list[str]:
    """The parameters that hold something to be moved."""
    return [name for name in inputs.parameters if _parts(name, inputs)]


def _parts(parameter: str, inputs: Inputs) -> list[str]:
    return [
        place for place in inputs.moved if place == parameter or place.startswith((f"{parameter}[", f"{parameter}."))
    ]


def _inside(place: str, value: Any, gradient: Any, inputs: Inputs) -> dict[str, Any]:
    """The gradients of what an input holds: its own, or those of its parts, by the same keys or in the same order."""
    if place in inputs.arrays or place in inputs.integers:
        return {place: gradient}
    own = _fields(value)
    if own is not None:
        by_key = isinstance(value, dict)
        fields = _fields(gradient)
        if fields is None and isinstance(gradient, tuple | list) and not by_key and len(gradient) == len(own):
            fields = dict(zip(own, gradient, strict=True))
        if fields is None:
            return {}
        keys = {name: key for name in own if (key := _key_of(name, fields)) is not None}
        _refuse_surplus([key for key in fields if key not in keys.values()], inputs)
        parts = [(f"{place}[{key!r}]" if by_key else f"{place}.{key}", str(key)) for key in (value if by_key else own)]
        return _merged(_inside(part, own[key], fields[keys[key]], inputs) for part, key in parts if key in keys)
    if isinstance(value, tuple | list) and isinstance(gradient, tuple | list) and len(value) == len(gradient):
        pairs = enumerate(zip(value, gradient, strict=True))
        return _merged(_inside(f"{place}[{i}]", item, grad, inputs) for i, (item, grad) in pairs)
    return {}


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: grad for part in parts for name, grad in part.items()}


def _refuse_surplus(surplus: list[str], inputs: Inputs) -> None:
    if surplus:
        raise Refused(
            f"backward returns {', '.join(surplus)}, and there is no such input; it should return {_wanted(inputs)}"
        )


# --- by position -----------------------------------------------------------------------------------------------------


def _by_position(returned: Any, inputs: Inputs) -> dict[str, Any]:
    """Gradients in the order of forward's parameters; None, or nothing, for what has none."""
    parameters = _parameters_moved(inputs)
    if len(inputs.parameters) == 1 and not isinstance(inputs.given[parameters[0]], np.ndarray):
        structured = isinstance(inputs.given[parameters[0]], tuple | list) and parameters[0] not in inputs.arrays
        if structured and isinstance(returned, tuple | list) and len(returned) == len(inputs.given[parameters[0]]):
            return _inside(parameters[0], inputs.given[parameters[0]], returned, inputs)
    grads = list(returned) if isinstance(returned, tuple | list) and not _is_row(returned, inputs) else [returned]
    for names in _orders(inputs):
        if len(names) == len(grads) and all(
            (grad is None) <= _may_be_none(name, inputs) for name, grad in zip(names, grads, strict=True)
        ):
            pairs = [(name, grad) for name, grad in zip(names, grads, strict=True) if grad is not None]
            return _merged(_inside(name, inputs.given[name], grad, inputs) for name, grad in pairs)
    raise Refused(_wrong_number(grads, inputs))


def _is_row(returned: Any, inputs: Inputs) -> bool:
    """A list that is itself the gradient of the only input, which is a list of numbers or an array."""
    names = inputs.moved
    return (
        isinstance(returned, list)
        and len(names) == 1
        and names[0] in inputs.parameters
        and len(returned) > 1
        and np.ndim(returned[0]) == inputs.arrays[names[0]].ndim - 1
        and len(returned) == len(inputs.arrays[names[0]])
    )


def _may_be_none(name: str, inputs: Inputs) -> bool:
    parts = _parts(name, inputs)
    return not parts or all(part in inputs.optional for part in parts)


def _orders(inputs: Inputs) -> list[list[str]]:
    """Which parameters the gradients may be of, the likeliest first.

    Those of floating-point arrays, and of None (whose gradient is None); with the keyword-only ones or the numbers, or both;
    with those that have no gradient; all of them.
    """
    needed = [name for name in inputs.parameters if _parts(name, inputs)]
    plain = [name for name in needed if not all(part in inputs.optional for part in _parts(name, inputs))]
    nothing = {name for name in inputs.parameters if inputs.given[name] is None}
    held = {name for name in inputs.parameters if inputs.is_fixed(name)}
    orders = []
    for chosen in (plain, needed):
        for more in ((), nothing, held, nothing | held):
            orders.append([name for name in inputs.parameters if name in chosen or name in more])
    return [*orders, list(inputs.parameters)]


def _wrong_number(grads: list[Any], inputs: Inputs) -> str:
    plain = _orders(inputs)[0] or _orders(inputs)[4]
    expected = ", ".join(_symbol(name) for name in plain)
    none = [i for i, grad in enumerate(grads) if grad is None]
    if len(grads) == len(plain) and none:
        return f"d{plain[none[0]]} is None, and should be the gradient of {plain[none[0]]}"
    count = f"{len(grads)} gradient{'s' * (len(grads) != 1)}"
    text = f"backward returns {count}, and should return {len(plain)}: {expected}"
    surplus = [name for name in sorted(inputs.integers) if name in inputs.parameters]
    if len(grads) < len(plain):
        without = _without_gradient(grads, plain, inputs)
        return text + (
            f"; if {without} has none (a mask or a target, say), name it: fixed=[{without!r}]" if without else ""
        )
    if surplus:
        return text + f"; {', '.join(surplus)} has whole numbers, which have no gradient: write 1.0 for 1"
    return text


def _without_gradient(grads: list[Any], names: list[str], inputs: Inputs) -> str | None:
    """The one input that the gradients leave out, told by their shapes."""
    if len(grads) != len(names) - 1:
        return None
    shapes = [np.shape(to_host(grad)) for grad in grads]
    for left in reversed(range(len(names))):
        others = [name for i, name in enumerate(names) if i != left]
        if all(
            name in inputs.arrays and inputs.arrays[name].shape == s for name, s in zip(others, shapes, strict=True)
        ):
            return names[left]
    return None


# --- shapes ----------------------------------------------------------------------------------------------------------


def _shape_problems(gradients: dict[str, np.ndarray], inputs: Inputs) -> list[str]:
    shapes = {name: inputs.arrays[name].shape for name in gradients}
    wrong = [name for name, grad in gradients.items() if grad.shape != shapes[name]]
    if not wrong:
        return []
    order = _other_order(gradients, shapes)
    if order:
        name = wrong[0]
        return [
            f"d{name} has {order[name]}'s shape {gradients[name].shape}; the order of forward's inputs is "
            f"{', '.join(gradients)}: consistent with {cause('order')}"
        ]
    return [sentence for name in wrong for sentence in _shape_problem(name, gradients[name].shape, shapes)]


def _other_order(gradients: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> dict[str, str] | None:
    """Of which input each gradient has the shape, if they fit in another order."""
    names = list(gradients)
    if len(names) > _MOST_ORDERS:
        return None
    for order in itertools.permutations(names):
        if all(gradients[name].shape == shapes[other] for name, other in zip(names, order, strict=True)):
            return dict(zip(names, order, strict=True))
    return None


def _shape_problem(name: str, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> list[str]:
    text = f"d{name} has the shape {shape}; {name} has {shapes[name]}"
    reason = _why_this_shape(name, shape, shapes)
    return [text, f"d{name} is consistent with {reason}"] if reason else [text]


def _why_this_shape(name: str, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> str:
    own = shapes[name]
    if shape == own[::-1] and len(own) > 1:
        return cause("transposed")
    if [n for n in shape if n != 1] == [n for n in own if n != 1] and len(shape) != len(own):
        return "axes of length 1 that are added or dropped: (N,) and (N, 1) are not the same"
    if len(own) == 1 and shape == (*own, *own):
        return cause("broadcast")
    if len(shape) > len(own) and shape[len(shape) - len(own) :] == own:
        return cause("batch sum")
    if len(shape) == len(own) and all(n in (1, m) for n, m in zip(shape, own, strict=True)):
        return "a sum over an axis too many"
    if len(shape) < len(own) and (shape == own[: len(shape)] or shape == own[len(own) - len(shape) :]):
        return "a sum over an axis too many"
    others = [other for other, theirs in shapes.items() if theirs == shape and other != name]
    return cause("another's gradient", other=others[0]) if len(others) == 1 else ""
