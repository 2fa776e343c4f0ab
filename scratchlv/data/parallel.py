"""Pairs of texts, for translation and summarization: two files that are aligned by line, or two columns of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.text import has_markers, read_csv, read_lines, spaced_words, tokenize
from scratchlv.errors import UserError

Pair = tuple[list[str], list[str]]  # the words of the source, the words of the target
Cut = Callable[[str], list[str]]  # how a text becomes words


class Pairs(NamedTuple):
    """What was read, and what of it was left out."""

    train: list[Pair]
    val: list[Pair]
    dropped: int = 0  # pairs of which one side, or both, is empty
    repeated: int = 0  # training pairs left out because their source is also in val
    marked: int = 0  # pairs whose markers were left out


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
    files = [file.with_name(file.name.replace("train.", "val.", 1)) for file in (source, target)]
    official = all(file.name.startswith("train.") for file in (source, target))
    there = [official and file.is_file() for file in files]
    if all(there):
        val, more_dropped, more_marked = _aligned(files[0], files[1], cut)
        return Pairs(pairs, val, dropped + more_dropped, marked=marked + more_marked)
    if any(there):
        found, absent = (files[there.index(flag)] for flag in (True, False))
        raise UserError(f"{found} is there, but {absent} is not; copy it there, or move the other away")
    return _hold_out(pairs, dropped, marked, f"{source} and {target}")


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
            raise UserError(f"{path} has no column {column!r}; choose from {', '.join(names) or 'none: it is empty'}")
    i, j = names.index(source), names.index(target)
    raw = []
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{path} line {line}: {len(row)} fields, but the first line names {len(names)}; mend it")
        raw.append((row[i], row[j]))
    return _hold_out(*_cut(raw, cut), str(path))


def _aligned(source: Path, target: Path, cut: Cut) -> tuple[list[Pair], int, int]:
    """As :func:`_cut`, of two files."""
    x, y = ([line for _, line in read_lines(file)] for file in (source, target))
    if len(x) != len(y):
        raise UserError(f"{source} has {len(x)} lines and {target} has {len(y)}; give files that are aligned by line")
    pairs, dropped, marked = _cut(list(zip(x, y, strict=True)), cut)
    if not pairs:
        raise UserError(f"{source} and {target} have no pair of texts; give files with one text a line")
    return pairs, dropped, marked


def _cut(texts: Sequence[tuple[str, str]], cut: Cut) -> tuple[list[Pair], int, int]:
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
