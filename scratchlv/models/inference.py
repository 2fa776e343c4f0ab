"""A model that is there to be used: its weights are packed once, and may be kept in fewer bits.

Decoding word by word is as fast as the weights are read: those of half the bits take half the time. What is rounded are the
matrices that every word is multiplied by, and those that an answer is made with; embeddings, of which a word reads one row, and
what looks at the input once stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

from scratchlv.arrays import Array
from scratchlv.ops import pack

_EACH_WORD = re.compile(
    r"(recurrent\.\d+|decoder|question)\.W[xh]|attention\.Wh?|output\.W\w?|answer\.W\d?|hop\d+\.Wu|hop\.H"
)


def make_ready(model: Any, kind: str = "float32") -> None:
    """Pack the weights of a model that is trained no more; in "bfloat16" or "int8", its ``params`` become the rounded ones.

    Raises:
        ValueError: there is no such kind, or it cannot hold a weight, which is named; the model is then as it was.
    """
    packed: dict[str, Any] = {}
    for name, W in model.params.items():
        if _EACH_WORD.fullmatch(name):
            try:
                packed[name] = pack(W, kind)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    if kind != "float32":
        model.params.update({name: getattr(W, "array", W) for name, W in packed.items()})
    model.packed = packed


def decoding_params(params: dict[str, Array], packed: dict[str, Array]) -> dict[str, Array]:
    """``params`` as they serve many words; ``packed`` are those that were packed before."""
    others = {
        name: pack(W) for name, W in params.items() if W.ndim == 2 and name != "embedding.W" and name not in packed
    }
    return params | others | packed
