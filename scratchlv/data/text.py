"""Text as people have it: lines, sentences and words; and the readers of plain text for language models.

Every reader of a text file in this package reads it through :func:`read_lines`.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError

Sentences = list[list[str]]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# A word, with apostrophes and hyphens inside; a number, with points, commas and colons inside; any other character.
_TOKEN = re.compile(r"[^\W_]+(?:(?:['’-]|(?<=\d)[.,:](?=\d))[^\W_]+)*|\S")
_CLOSING = frozenset(".,;:!?)]}%…")
_OPENING = frozenset("([{$£€¥#@")


# --- files -------------------------------------------------------------------------------------------------------


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file as (number, text), numbered from 1, without ``\n`` or ``\r\n`` at their ends.

    A byte-order mark is no part of the text. Only ``\n`` ends a line: control characters, NUL too, are left in it.

    Raises:
        UserError: there is no such file, it cannot be read, or a byte of it is not UTF-8 (its position is named).
    """
    position = 0  # of the line's first byte in the file
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                mark = len(codecs.BOM_UTF8) if number == 1 and raw.startswith(codecs.BOM_UTF8) else 0
                yield number, raw[mark:].decode().removesuffix("\n").removesuffix("\r")
                position += len(raw)
    except UnicodeDecodeError as error:
        at = position + mark + error.start
        raise UserError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {at} (line {number}); "
            "convert the file, e.g. with iconv"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{path} is not there; give the path of a text file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the path of a text file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); change its permissions") from None


def read_csv(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file as (number of the line where the row begins, fields); blank lines are passed over.

    Raises:
        UserError: as :func:`read_lines`; or a quotation mark is out of place or never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), 2**30))  # the default refuses a text of 131,073 characters
    rows = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    begins = 1
    try:
        for row in rows:
            if row:
                yield begins, row
            begins = rows.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path} line {begins}: {error}, in the row that begins here; mend its quotes") from None


def read_sentences(path: str | Path) -> Sentences:
    """One sentence a line, its words between spaces; empty lines are passed over.

    Raises:
        UserError: as :func:`read_lines`; or there is no word in the file.
    """
    sentences = [words for _, line in read_lines(path) if (words := line.split())]
    if not sentences:
        raise UserError(f"{path} has no words; give a file with one sentence a line")
    return sentences


def first_few(names: Sequence[str]) -> str:
    """What an error says of a long list: its first three."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# --- words -------------------------------------------------------------------------------------------------------


def bare_words(text: str) -> list[str]:
    """Lower-case words: letters and digits, apostrophes inside; all other punctuation is dropped.

    >>> bare_words("A man's dog , brown-and-white , jumps .")
    ['a', "man's", 'dog', 'brown', 'and', 'white', 'jumps']
    """
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def tokenize(text: str) -> list[str]:
    """Lower-case words and punctuation marks, each mark a token of its own; numbers stay whole.

    >>> tokenize("The BJP's 60-year-old leader (of Agra) paid $1,000.50 at 5:30.")
    ['the', "bjp's", '60-year-old', 'leader', '(', 'of', 'agra', ')', 'paid', '$', '1,000.50', 'at', '5:30', '.']
    """
    return _TOKEN.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))


def detokenize(words: Sequence[str]) -> str:
    """The text that :func:`tokenize` takes apart into these words, spaced as one writes: its inverse, but for capitals.

    A quotation mark opens if there is another of its kind to close it. ``tokenize(detokenize(words)) == words`` for all
    that :func:`tokenize` gives.

    >>> detokenize(['"', 'no', '"', ',', 'he', 'said', '(', 'twice', ')', '.'])
    '"no", he said (twice).'
    """
    text, glued = "", True
    open_quotes: set[str] = set()
    for i, word in enumerate(words):
        quote = word in ("'", '"')
        opens = quote and word not in open_quotes and word in words[i + 1 :]
        text += word if glued or (quote and not opens) or word in _CLOSING or word == "/" else " " + word
        glued = opens or word in _OPENING or word == "/"
        if quote:
            open_quotes = open_quotes | {word} if opens else open_quotes - {word}
    return text


# --- language models ---------------------------------------------------------------------------------------------


def ptb(folder: str | Path) -> dict[str, Sentences]:
    """Penn Treebank as Mikolov prepared it: ``ptb.train.txt``, ``ptb.valid.txt`` and, if it is there, ``ptb.test.txt``.

    Returns:
        The sentences of ``"train"``, ``"val"`` and perhaps ``"test"``; rare words are ``<unk>`` and numbers ``N`` in it.

    Raises:
        UserError: as :func:`read_sentences`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds ptb.train.txt and ptb.valid.txt")
    splits = {"train": read_sentences(folder / "ptb.train.txt"), "val": read_sentences(folder / "ptb.valid.txt")}
    if (folder / "ptb.test.txt").exists():
        splits["test"] = read_sentences(folder / "ptb.test.txt")
    return splits


def text(path: str | Path, characters: bool = False) -> dict[str, Sentences]:
    r"""Any text, line by line; its last tenth is ``"val"``, what comes before ``"train"``.

    Of words, empty lines are passed over. Of ``characters``, every line is kept as it is, the empty ones too: with the
    end symbol of each line for its ``\n``, they are the text. A file of one line is cut within the line.

    Raises:
        UserError: as :func:`read_lines`; or there are not two words (characters) to train on one and test on the other.
    """
    lines = [list(line) for _, line in read_lines(path)] if characters else read_sentences(path)
    unit = "character" if characters else "word"
    n = sum(map(len, lines))
    if n < 2:
        raise UserError(f"{path} has {n} {unit}{'' if n == 1 else 's'}: too short to train on; give a longer text")
    if len(lines) > 1:
        train, val = _last_tenth(lines)
    else:
        train, val = ([part] for part in _last_tenth(lines[0]))
    return {"train": train, "val": val}


def _last_tenth(items: list) -> tuple[list, list]:
    cut = len(items) - max(1, len(items) // 10)
    return items[:cut], items[cut:]


def unigram_perplexity(train_ids: Array, val_ids: Array, V: int) -> float:
    """Perplexity per word of a model that knows only how frequent each word is: the baseline of a language model.

    p(w) = (count of w in train + 1) / (words in train + V): add-one smoothing (Laplace) over the V entries of the
    vocabulary, ``<unk>`` and ``<end>`` words like any other. So the end symbol of each sentence belongs into the ids.

    Args:
        train_ids, val_ids: numbers of words, 0 to V - 1, integer arrays of any shape.

    Raises:
        ValueError: ``val_ids`` is empty, or a number is that of no word.
    """
    train_ids, val_ids = np.ravel(train_ids).astype(np.int64), np.ravel(val_ids).astype(np.int64)
    for ids in (train_ids, val_ids):
        if ids.size and not 0 <= ids.min() <= ids.max() < V:
            raise ValueError(f"ids run from {ids.min()} to {ids.max()}, but the vocabulary has {V} words")
    if not val_ids.size:
        raise ValueError("val_ids is empty: there is no word to be perplexed by")
    counts = np.bincount(train_ids, minlength=V)  # (V,)
    log_p = np.log(counts + 1.0) - np.log(train_ids.size + V)
    return float(np.exp(-log_p[val_ids].mean()))
