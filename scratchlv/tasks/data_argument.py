"""What ``--data`` may say: a kind of data and, after colons, where it is."""

from __future__ import annotations

from typing import NamedTuple

from scratchlv.errors import UserError
from scratchlv.shell import path_of
from scratchlv.tasks import TASKS

#: kind -> how it is written
FORMS = {
    "scenes": "scenes",
    "ptb": "ptb:DIR",
    "text": "text:FILE",
    "parallel": "parallel:SOURCE,TARGET",
    "csv": "csv:FILE:SOURCE_COLUMN:TARGET_COLUMN",
    "tsv": "tsv:FILE",
    "jsonl": "jsonl:FILE:SOURCE_KEY:TARGET_KEY",
    "multi30k": "multi30k:DIR:SOURCE_LANGUAGE:TARGET_LANGUAGE",
    "flickr8k": "flickr8k:DIR",
    "karpathy": "karpathy:JSON:IMAGES",
    "coco": "coco:ANNOTATIONS:IMAGES",
    "daquar": "daquar:DIR",
    "vqa": "vqa:QUESTIONS:ANNOTATIONS:IMAGES",
    "clevr": "clevr:DIR",
    "easy-vqa": "easy-vqa",
    "babi": "babi:DIR:TASK",
}


#: the parts of a form that are paths
_PATHS = ("DIR", "FILE", "JSON", "IMAGES", "ANNOTATIONS", "QUESTIONS", "SOURCE", "TARGET")


class DataArgument(NamedTuple):
    """``--data``, taken apart; paths are absolute, so that a run can be used from another folder."""

    kind: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        separator = "," if self.kind == "parallel" else ":"
        return self.kind if not self.arguments else f"{self.kind}:{separator.join(self.arguments)}"


def parse(data: str, task: str) -> DataArgument:
    """``data`` as one of the kinds that the task takes.

    Raises:
        UserError: it is none of them; the message shows how they are written.
    """
    kinds = TASKS[task].data
    kind, _, rest = data.partition(":")
    names = FORMS.get(kind, "").replace(",", ":").split(":")[1:]
    separator = "," if kind == "parallel" else ":"
    arguments = rest.rsplit(separator, len(names) - 1) if names else []
    if kind not in kinds or len(arguments) != len(names) or not all(arguments) or (rest and not names):
        raise UserError(f"--data {data}: give {' or '.join(FORMS[k] for k in kinds)}")
    return DataArgument(
        kind,
        tuple(str(path_of(a).resolve()) if name in _PATHS else a for a, name in zip(arguments, names, strict=True)),
    )
