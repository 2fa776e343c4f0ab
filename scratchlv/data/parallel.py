"""Pairs of texts, for translation and summarization: two files that are aligned by line, or two columns of a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.text import read_csv, read_lines, tokenize
from scratchlv.errors import UserError

Pair = tuple[list[str], list[str]]  # the words of the source, the words of the target


class Pairs(NamedTuple):
    """What was read, and what of it was left out."""

    train: list[Pair]
    val: list[Pair]
    dropped: int = 0  # pairs of which one side, or both, is empty
    repeated: int = 0  # training pairs left out because their source is also in val


def parallel(source: str | Path, target: str | Path) -> Pairs:
    """Two files whose lines belong together, tokenised already: the words are what stands between spaces.

    When both names begin with ``train.``, the files ``val.…`` beside it and beside the target are the
    validation part, as they come (Multi30k: ``train.lc.norm.tok.en`` and ``val.lc.norm.tok.en``). Otherwise, or when
    neither is there, it is the last 1,000 pairs or the last tenth, whichever is less.

    Raises:
        UserError: as :func:`scratchlv.data.text.read_lines`; the files differ in length; only one of the two has its
            ``val.…``; or there are too few pairs.
    """
    source, target = Path(source), Path(target)
    pairs, dropped = _aligned(source, target)
    files = [file.with_name(file.name.replace("train.", "val.", 1)) for file in (source, target)]
    official = all(file.name.startswith("train.") for file in (source, target))
    there = [official and file.is_file() for file in files]
    if all(there):
        val, more = _aligned(*files)
        return Pairs(pairs, val, dropped + more)
    if any(there):
        found, absent = (files[there.index(flag)] for flag in (True, False))
        raise UserError(f"{found} is there, but {absent} is not; copy it there, or move the other away")
    return _hold_out(pairs, dropped, f"{source} and {target}")


def csv_pairs(path: str | Path, source: str, target: str) -> Pairs:
    """Two columns of a CSV file, by their names in its first line: raw text, cut by :func:`scratchlv.data.text.tokenize`.

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
            raise UserError(f"{path} has no column {column!r}; choose from {', '.join(names) or 'none: it is empty'}")
    i, j = names.index(source), names.index(target)
    raw = []
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{path} line {line}: {len(row)} fields, but the first line names {len(names)}; mend it")
        raw.append((tokenize(row[i]), tokenize(row[j])))
    return _hold_out(*_without_empty(raw), str(path))


def _aligned(source: Path, target: Path) -> tuple[list[Pair], int]:
    """The pairs of two files, and the number of those left out."""
    x, y = ([line.split() for _, line in read_lines(file)] for file in (source, target))
    if len(x) != len(y):
        raise UserError(f"{source} has {len(x)} lines and {target} has {len(y)}; give files that are aligned by line")
    pairs, dropped = _without_empty(zip(x, y, strict=True))
    if not pairs:
        raise UserError(f"{source} and {target} have no pair of texts; give files with one text a line")
    return pairs, dropped


def _without_empty(pairs: Iterable[Pair]) -> tuple[list[Pair], int]:
    pairs = list(pairs)
    kept = [pair for pair in pairs if all(pair)]
    return kept, len(pairs) - len(kept)


def _hold_out(pairs: list[Pair], dropped: int, where: str) -> Pairs:
    """The last pairs become the validation part. A source that is repeated there is not trained on."""
    cut = len(pairs) - min(1000, max(1, len(pairs) // 10))
    val = pairs[cut:]
    held_out = {tuple(x) for x, _ in val}
    train = [(x, y) for x, y in pairs[:cut] if tuple(x) not in held_out]
    if not train:
        raise UserError(
            f"{where}: {len(pairs)} pairs are too few to train and validate on; give two different ones or more"
        )
    return Pairs(train, val, dropped, cut - len(train))
