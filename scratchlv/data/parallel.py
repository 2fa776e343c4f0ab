"""Pairs of texts, for translation and summarization: two files that are aligned by line, or two texts of each row of one file.

The rows are those of a CSV file, of texts between tabs (Tatoeba's), or of JSON lines.
"""

from __future__ import annotations

import json
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scratchlv.data import formats
from scratchlv.data.files import find, sibling
from scratchlv.data.formats import malformed
from scratchlv.data.photographs import by_chance
from scratchlv.data.text import decoded_lines, has_markers, read_csv, read_lines, spaced_words, tokenize
from scratchlv.errors import UserError

Pair = tuple[list[str], list[str]]  # the words of the source, the words of the target
Text = tuple[str, str]  # the source and the target, as they are written
Cut = Callable[[str], list[str]]  # how a text becomes words


class Pairs(NamedTuple):
    """What was read, and what of it was left out."""

    train: list[Pair]
    val: list[Pair]
    dropped: int = 0  # pairs of which one side, or both, is empty
    repeated: int = 0  # training pairs left out because their source is also in val
    marked: int = 0  # pairs whose markers were left out
    test: list[Pair] = []  # noqa: RUF012  an empty one is never added to


def parallel(source: str | Path, target: str | Path, cut: Cut = spaced_words) -> Pairs:
    """Two files whose lines belong together, tokenised already: the words are what stands between spaces, unless cut otherwise.

    When both names begin with ``train.``, the files ``val.…`` beside it and beside the target are the
    validation part, as they come (Multi30k: ``train.lc.norm.tok.en`` and ``val.lc.norm.tok.en``). Otherwise, or when
    neither is there, it is the last 1,000 pairs or the last tenth, whichever is less.

    Raises:
        UserError: as :func:`scratchlv.data.text.read_lines`; the files differ in length; only one of the two has its
            ``val.…``; or there are too few pairs.
    """
    source, target = Path(source), Path(target)
    pairs, dropped, marked = _aligned(source, target, cut)
    if not all(file.name.startswith("train.") for file in (source, target)):
        return _hold_out(pairs, dropped, marked, f"{source} and {target}")
    beside = [sibling(file, "val") for file in (source, target)]
    there = [file for file in beside if file is not None]
    if len(there) == 2:
        val, more_dropped, more_marked = _aligned(there[0], there[1], cut)
        return Pairs(pairs, val, dropped + more_dropped, marked=marked + more_marked)
    if there:
        absent = (source, target)[beside.index(None)].name.replace("train.", "val.", 1)
        raise UserError(
            f"{there[0]} is there, but {there[0].with_name(absent)} is not; copy it there, or move the other away"
        )
    return _hold_out(pairs, dropped, marked, f"{source} and {target}")


# --- rows of one file ----------------------------------------------------------------------------------------------


def csv_pairs(path: str | Path, source: str, target: str, cut: Cut = tokenize) -> Pairs:
    """Two columns of a CSV file, by their names in its first line: raw text.

    The validation part is the last 1,000 pairs or the last tenth, whichever is less.

    Raises:
        UserError: as :func:`scratchlv.data.text.read_csv`; a column is unknown; a row has more or fewer fields than the
            first line; or there are too few pairs.
    """
    rows = read_csv(path)
    _, names = next(rows, (1, []))
    names = [name.strip() for name in names]
    for column in (source, target):
        if column not in names:
            there = ", ".join(names) or "none: it is empty"
            raise malformed(formats.CSV, path, f"has no column {column!r}", f"choose from {there}")
    i, j = names.index(source), names.index(target)
    raw = []
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{path} line {line}: {len(row)} fields, but the first line names {len(names)}; mend it")
        raw.append((row[i], row[j]))
    return _hold_out(*_cut(raw, cut), str(path))


def tsv_pairs(path: str | Path, cut: Cut = tokenize) -> Pairs:
    """``source<TAB>target`` a line, raw text; more columns, Tatoeba's attribution say, are passed over.

    The validation part is the file of that name with ``val``, ``valid``, ``validation`` or ``dev`` for ``train``. Where there is
    none, it is 1,000 sources or a tenth of them, whichever is less, by chance and always the same ones: such files are often
    sorted by length, and have several targets of a source.

    Raises:
        UserError: as :func:`scratchlv.data.text.read_lines`; a line has no tab; or there are too few pairs.
    """

    def read(file: Path) -> Iterator[Text]:
        for number, line in read_lines(file):
            if line.strip():
                texts = line.split("\t")
                if len(texts) < 2:
                    problem = f"line {number}: expected source<TAB>target, found {line[:60]!r}"
                    raise malformed(formats.TABS, file, problem, "mend it")
                yield texts[0], texts[1]

    return _rows(Path(path), read, cut)


def jsonl_pairs(path: str | Path, source: str, target: str, cut: Cut = tokenize) -> Pairs:
    """Two values of a JSON object a line, by their keys, raw text; ``translation.en`` is the key ``en`` of an object within.

    The validation part is as that of :func:`tsv_pairs`. A value that is null is a text that is empty.

    Raises:
        UserError: as :func:`scratchlv.data.text.read_lines`; a line is no object, lacks a key or has a value that is no text; or
            there are too few pairs.
    """

    def read(file: Path) -> Iterator[Text]:
        for number, line in read_lines(file):
            if line.strip():
                yield _values(file, number, line, source, target)

    return _rows(Path(path), read, cut)


def _values(file: Path, number: int, line: str, *keys: str) -> Text:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        problem = f"line {number}: expected a JSON object, found {line.strip()[:60]!r}"
        raise malformed(formats.JSON_LINES, file, problem, "write one to each line")
    texts = []
    for key in keys:
        value = _value(found, key)
        if value is _ABSENT:
            raise UserError(f"{file} line {number} has no key {key!r}; choose from {', '.join(found) or 'none'}")
        if not (value is None or isinstance(value, str)):
            raise UserError(f"{file} line {number}: {key} is no text ({json.dumps(value)[:60]}); give the key of one")
        texts.append(value or "")
    return texts[0], texts[1]


_ABSENT = object()


def _value(found: Any, key: str) -> Any:
    """What stands under a key, or under the keys within objects that it is made of by points."""
    if not isinstance(found, dict):
        return _ABSENT
    if key in found:
        return found[key]
    first, _, rest = key.partition(".")
    return _value(found.get(first), rest) if rest else _ABSENT


def _rows(path: Path, read: Callable[[Path], Iterator[Text]], cut: Cut) -> Pairs:
    """The pairs of a file, and of the one of the validation part beside it."""
    kept, dropped, marked = _cut(list(read(path)), cut)
    beside = next((file for part in _VALIDATION if (file := sibling(path, part)) is not None), None)
    if beside is None:
        return _hold_out_by_chance(kept, dropped, marked, str(path))
    val, more_dropped, more_marked = _cut(list(read(beside)), cut)
    for file, found in ((path, kept), (beside, val)):
        if not found:
            raise UserError(f"{file} has no pair of texts; copy it again")
    return Pairs(kept, val, dropped + more_dropped, 0, marked + more_marked)


_VALIDATION = ("val", "valid", "validation", "dev")


# --- files that are aligned by line ----------------------------------------------------------------------------------


def multi30k(folder: str | Path, source: str, target: str, cut: Cut = tokenize) -> Pairs:
    """Multi30k (Elliott et al. 2016), raw text in two of its languages (en, de, fr, cs), as it is distributed.

    Either its archives, ``training.tar.gz``, ``validation.tar.gz`` and ``mmt16_task1_test.tar.gz``, as they are; or the files in
    them, ``train.en`` and so on, packed or not, in the folder or in ``data/task1/raw/`` of its repository.

    Raises:
        UserError: the folder, or a file of a language, is missing; two files differ in length; or an archive is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; give the one that holds Multi30k's training.tar.gz, or train.{source}"
        )
    found: dict[str, list[Pair]] = {"test": []}
    dropped = marked = 0
    for part in _MULTI30K:
        sides = [_side(folder, part, language) for language in (source, target)]
        if part == "test" and None in sides:
            continue
        for side, language in zip(sides, (source, target), strict=True):
            if side is None:
                names, archives = _MULTI30K[part]
                raise UserError(
                    f"{folder} has no {names[0]}.{language}, nor an archive {archives[0]} with it; copy it there"
                )
        found[part], more_dropped, more_marked = _cut_aligned(cut, *(side for side in sides if side is not None))
        dropped, marked = dropped + more_dropped, marked + more_marked
    return Pairs(found["train"], found["val"], dropped, 0, marked, found["test"])


#: part -> what its files are called, but for the language; and its archive
_MULTI30K = {
    "train": (("train",), ("training.tar.gz", "training.tar", "training.tgz")),
    "val": (("val",), ("validation.tar.gz", "validation.tar", "validation.tgz")),
    "test": (
        ("test", "test2016", "test_2016_flickr"),
        ("mmt16_task1_test.tar.gz", "mmt_task1_test2016.tar.gz", "mmt16_task1_test.tar"),
    ),
}
Side = tuple[str | Path, list[str]]  # a file, and the lines in it


def _side(folder: Path, part: str, language: str) -> Side | None:
    stems, archives = _MULTI30K[part]
    names = [f"{stem}.{language}" for stem in stems]
    for inner in (folder, *(folder / below for below in ("raw", "task1/raw", "data/task1/raw"))):
        file = find(inner, *names)
        if file is not None:
            return file, [line for _, line in read_lines(file)]
    for archive in archives:
        side = _side_within(folder / archive, names) if (folder / archive).is_file() else None
        if side is not None:
            return side
    return None


def _side_within(archive: Path, names: Sequence[str]) -> Side | None:
    """The file in an archive that has one of these names; None if there is none."""
    try:
        with tarfile.open(archive) as files:
            for member in files:
                name = member.name.rpartition("/")[2]
                content = files.extractfile(member) if name in names and member.isfile() else None
                if content is not None:
                    where = f"{archive}: {name}"
                    return where, [line for _, line in decoded_lines(content, where)]
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).partition(":\n")[0]
        raise UserError(f"{archive} cannot be unpacked ({reason}); copy or download it again") from None
    return None


def _aligned(source: Path, target: Path, cut: Cut) -> tuple[list[Pair], int, int]:
    """As :func:`_cut`, of two files."""
    return _cut_aligned(cut, *((file, [line for _, line in read_lines(file)]) for file in (source, target)))


def _cut_aligned(cut: Cut, source: Side, target: Side) -> tuple[list[Pair], int, int]:
    (source_file, x), (target_file, y) = source, target
    if len(x) != len(y):
        raise UserError(
            f"{source_file} has {len(x)} lines and {target_file} has {len(y)}; give files that are aligned by line"
        )
    pairs, dropped, marked = _cut(list(zip(x, y, strict=True)), cut)
    if not pairs:
        raise UserError(f"{source_file} and {target_file} have no pair of texts; give files with one text a line")
    return pairs, dropped, marked


# --- words, and parts ------------------------------------------------------------------------------------------------


def _cut(texts: Sequence[Text], cut: Cut) -> tuple[list[Pair], int, int]:
    """The pairs of which neither side is empty, the number of the others, and of those that had markers."""
    pairs = [(cut(x), cut(y)) for x, y in texts]
    kept = [pair for pair in pairs if all(pair)]
    return kept, len(pairs) - len(kept), sum(any(map(has_markers, pair)) for pair in texts)


def _hold_out(pairs: list[Pair], dropped: int, marked: int, where: str) -> Pairs:
    """The last pairs become the validation part. A source that is repeated there is not trained on."""
    cut = len(pairs) - min(1000, max(1, len(pairs) // 10))
    val = pairs[cut:]
    held_out = {tuple(x) for x, _ in val}
    train = [(x, y) for x, y in pairs[:cut] if tuple(x) not in held_out]
    if not train:
        raise UserError(
            f"{where}: {len(pairs)} pairs are too few to train and validate on; give two different ones or more"
        )
    return Pairs(train, val, dropped, cut - len(train), marked)


def _hold_out_by_chance(pairs: list[Pair], dropped: int, marked: int, where: str) -> Pairs:
    """All pairs of some sources become the validation part."""
    key = " ".join
    sources = by_chance({key(x) for x, _ in pairs})
    held_out = set(sources[: min(1000, max(1, len(sources) // 10))])
    train = [pair for pair in pairs if key(pair[0]) not in held_out]
    val = [pair for pair in pairs if key(pair[0]) in held_out]
    if not train:
        raise UserError(
            f"{where}: {len(sources)} different sources are too few to train and validate on; give two or more"
        )
    return Pairs(train, val, dropped, 0, marked)
