"""Captions and references in files, without their pictures: what is compared when captions are scored.

results       [{"image_id": 9, "caption": "a plate of food"}, …]                     COCO's format
references    COCO's annotations, a split of Karpathy's, or Flickr8k's captions      by number, or by the name of the picture
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scratchlv.data import formats
from scratchlv.data.coco import number_of
from scratchlv.data.files import is_number, read_json
from scratchlv.data.flickr8k import read_captions
from scratchlv.data.karpathy import caption_of
from scratchlv.data.text import first_few
from scratchlv.errors import UserError

Id = int | str
_REFERENCES = "give COCO's annotations with captions, a split of Karpathy's, or Flickr8k's captions"


def read_results(file: Path) -> dict[Id, str]:
    """The caption of each picture, in the file's order. It may be empty.

    Raises:
        UserError: the file is missing, of another format, or a picture is in it twice.
    """
    _refuse_other(file, formats.COCO_RESULTS, 'give a list of {"image_id": …, "caption": …}, as --results writes it')
    found = read_json(file)
    if formats.of_object(found) != formats.COCO_RESULTS:
        raise UserError(
            f'{file} holds no captions; give a list of {{"image_id": …, "caption": …}}, as --results writes it'
        )
    captions: dict[Id, str] = {}
    for k, entry in enumerate(found):
        number, caption = (entry.get(key) if isinstance(entry, dict) else None for key in ("image_id", "caption"))
        if not (is_number(number) or isinstance(number, str)) or not isinstance(caption, str):
            raise UserError(f"{file}: [{k}] needs an 'image_id' and a 'caption'; mend it")
        if number in captions:
            raise UserError(f"{file}: [{k}] is the second caption of {number!r}; give one for each picture")
        captions[number] = caption
    return captions


def read_references(file: Path) -> dict[Id, list[str]]:
    """The captions of each picture that people wrote.

    Raises:
        UserError: the file is missing, of another format, or what is in it is incomplete.
    """
    kind = formats.looks_like(file)
    if kind == formats.FLICKR8K:
        references: dict[Id, list[str]] = {}
        for name, caption in read_captions(file):
            references.setdefault(name, []).append(caption)
        return _by_number(references) | references
    if kind == formats.COCO:
        return _of_annotations(file, read_json(file)["annotations"])
    if kind == formats.KARPATHY:
        return _of_split(file, read_json(file)["images"])
    if kind is None:
        read_json(file)  # says why, if it cannot be read
    _refuse_other(file, formats.COCO, _REFERENCES)
    raise UserError(f"{file} holds no captions of people; {_REFERENCES}")


def _refuse_other(file: Path, wanted: formats.Format, remedy: str) -> None:
    """
    Raises:
        UserError: the file looks like one of another format.
    """
    seen = formats.looks_like(file)
    if seen not in (None, wanted):
        raise UserError(f"{file} looks like {seen.name}; {remedy}")


def _of_annotations(file: Path, annotations: list[Any]) -> dict[Id, list[str]]:
    references: dict[Id, list[str]] = {}
    for k, entry in enumerate(annotations):
        number, caption = (entry.get(key) if isinstance(entry, dict) else None for key in ("image_id", "caption"))
        if not is_number(number) or not isinstance(caption, str):
            raise UserError(f"{file}: annotations[{k}] needs an 'image_id' and a 'caption'; mend it")
        references.setdefault(number, []).append(caption)
    return references


def _of_split(file: Path, images: list[Any]) -> dict[Id, list[str]]:
    """By names, and by COCO's numbers."""
    references: dict[Id, list[str]] = {}
    for k, image in enumerate(images):
        name, sentences = (image.get(key) if isinstance(image, dict) else None for key in ("filename", "sentences"))
        captions = [caption_of(sentence) for sentence in sentences] if isinstance(sentences, list) else []
        if not isinstance(name, str) or not captions or None in captions:
            raise UserError(f"{file}: images[{k}] needs a 'filename', and 'sentences' with their texts, 'raw'; mend it")
        said = [caption for caption in captions if caption is not None]
        references[name] = said
        if is_number(image.get("cocoid")):
            references[image["cocoid"]] = said
    return _by_number(references) | references


def _by_number(references: dict[Id, list[str]]) -> dict[Id, list[str]]:
    """Those of pictures whose names end in a number, by that: results may call them so."""
    numbers = {name: number_of(name) for name in references if isinstance(name, str)}
    return {number: references[name] for name, number in numbers.items() if number is not None}


def of_results(results: dict[Id, str], references: dict[Id, list[str]], file: Path) -> list[list[str]]:
    """The references of the pictures that there are results of, which need not be all.

    Raises:
        UserError: a picture has none in ``file``.
    """
    strangers = [str(number) for number in results if number not in references]
    if strangers:
        raise UserError(
            f"{file} has no captions of {len(strangers):,} of {len(results):,} pictures ({first_few(strangers)}); "
            "give the references of these pictures"
        )
    return [references[number] for number in results]
