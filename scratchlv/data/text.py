"""Text as people have it: lines, sentences and words; and the readers of plain text for language models.

Every reader of a text file in this package reads it through :func:`read_lines`.
"""

from __future__ import annotations

import codecs
import csv
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.data.files import find, opened
from scratchlv.data.formats import looks_like
from scratchlv.errors import UserError
from scratchlv.tokens import SPECIALS, UNK

Sentences = list[list[str]]

_JOINERS = "\u200c\u200d"  # zero width: between letters they choose a form, and are part of the word
_INSIDE = "'·׳״"  # apostrophes, and what Catalan and Hebrew write as one writes those
_UNSEEN = dict.fromkeys((0xAD, 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
_UNSEEN[0x200B] = " "  # a space of no width, where Thai and Khmer may break a line
_FIRST = r"(?:<(?:start|s|sos|bos|go|pad)>|\[start\]|\bstartseq\b)"
_LAST = r"(?:<(?:end|/s|eos|pad)>|\[end\]|\bendseq\b)"
_MARKERS = re.compile(rf"^(?:\s*{_FIRST})+\s*|\s*(?:{_LAST}\s*)+$|(?<!\S)<(?:pad|start|end)>(?:\s+|$)", re.IGNORECASE)
_CLOSING = frozenset(".,;:!?)]}%…")
_OPENING = frozenset("([{$£€¥#@")


# --- files -------------------------------------------------------------------------------------------------------


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file as (number, text), numbered from 1, without ``\n`` or ``\r\n`` at their ends.

    A byte-order mark is no part of the text. Only ``\n`` ends a line: control characters, NUL too, are left in it; but in a
    file without any, ``\r`` does, as on old Macs. What is packed (gzip, bzip2, xz) is unpacked.

    Raises:
        UserError: as :func:`~scratchlv.data.files.opened`; or a byte of it is not UTF-8 (its position is named).
    """
    try:
        with opened(path) as file:
            yield from decoded_lines(file, str(path))
    except _NotUTF8 as error:
        seen = looks_like(path)
        if seen is None or seen.data:  # of data only the encoding is wrong, whatever it was given as
            raise
        raise UserError(f"{error.problem}: it looks like {seen.name}; {seen.use}") from None


class _NotUTF8(UserError):
    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; convert it, e.g. with iconv")
        self.problem = problem


def decoded_lines(file: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    """:func:`read_lines` of what is open already, such as standard input; errors call it by its ``name``."""
    position = 0  # of the line's first byte in the file
    for number, raw in enumerate(_raw_lines(file), 1):
        mark = len(codecs.BOM_UTF8) if number == 1 and raw.startswith(codecs.BOM_UTF8) else 0
        try:
            line = raw[mark:].decode()
        except UnicodeDecodeError as error:
            at = position + mark + error.start
            byte = error.object[error.start]
            raise _NotUTF8(f"{name} is not UTF-8 text: byte 0x{byte:02x} at position {at} (line {number})") from None
        yield number, line.removesuffix("\n").removesuffix("\r")
        position += len(raw)


def _raw_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines of a file; a file of one line in which ``\r`` stands has its lines between those."""
    lines = iter(file)
    first, second = next(lines, b""), next(lines, None)
    if second is not None:
        yield from (first, second, *lines)
    elif first:
        yield from re.split(rb"(?<=\r)(?!\n)(?!\Z)", first)


def read_csv(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file as (number of the line where the row begins, fields); blank lines are passed over.

    Raises:
        UserError: as :func:`read_lines`; or a quotation mark is out of place or never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), 2**30))  # the default refuses a text of 131,073 characters
    # a row may end in \r where others end in \n; csv knows which of them stand between quotation marks
    rows = csv.reader((part + "\n" for _, line in read_lines(path) for part in line.split("\r")), strict=True)
    begins = 1
    try:
        for row in rows:
            if row:
                yield begins, row
            begins = rows.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path} line {begins}: {error}, in the row that begins here; mend its quotes") from None


def read_sentences(path: str | Path) -> tuple[Sentences, int]:
    """One sentence a line, its words between spaces, and the number of lines with markers; empty lines are passed over.

    Raises:
        UserError: as :func:`read_lines`; or there is no word in the file.
    """
    lines = [line for _, line in read_lines(path)]
    sentences = [words for line in lines if (words := spaced_words(line))]
    if not sentences:
        raise UserError(f"{path} has no words; give a file with one sentence a line")
    return sentences, sum(map(has_markers, lines))


def first_few(names: Sequence[str]) -> str:
    """What an error says of a long list: its first three."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# --- words -------------------------------------------------------------------------------------------------------


def has_markers(text: str) -> bool:
    """Whether markers stand in it that other programs put around a text: they are no part of it.

    At its ends these are ``<start>``, ``<s>``, ``<sos>``, ``<bos>``, ``<go>``, ``[start]``, ``startseq``, their counterparts, and
    ``<pad>``; elsewhere only words that are symbols of every vocabulary here. All functions below leave them out.
    """
    return any(sign in text for sign in "<[sS") and _MARKERS.search(text) is not None


def bare_words(text: str) -> list[str]:
    """Lower-case words: letters with their marks, and digits, apostrophes inside; all other punctuation is dropped.

    >>> bare_words("A man's dog , brown-and-white , jumps .")
    ['a', "man's", 'dog', 'brown', 'and', 'white', 'jumps']
    """
    return _patterns()[0].findall(_lower(text))


def tokenize(text: str) -> list[str]:
    """Lower-case words and punctuation marks, each mark a token of its own; numbers stay whole.

    >>> tokenize("The BJP's 60-year-old leader (of Agra) paid $1,000.50 at 5:30.")
    ['the', "bjp's", '60-year-old', 'leader', '(', 'of', 'agra', ')', 'paid', '$', '1,000.50', 'at', '5:30', '.']
    """
    return _patterns()[1].findall(_lower(text))


def spaced_words(text: str) -> list[str]:
    """What stands between spaces, of text that was cut into words before; capitals are kept."""
    return clean(text).split()


def characters(text: str) -> list[str]:
    """Character by character, capitals and punctuation too, as the text stands; marks are characters of their own."""
    return list(clean(text))


def spaced_characters(text: str) -> list[str]:
    """The same, with one space between words and none at the ends."""
    return list(" ".join(spaced_words(text)))


def clean(text: str) -> str:
    """Without markers and without what cannot be seen; an accent and its letter are one character (NFC) where there is one."""
    if has_markers(text):
        text = _MARKERS.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_UNSEEN))


def _lower(text: str) -> str:
    """Lower case of clean text; Turkish İ becomes i, as Turkish has it, and not i with a dot above."""
    text = clean(text)
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text.replace("İ", "i").lower().replace("’", "'"))


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    r"""Of bare words, and of tokens.

    Marks (vowels of Hindi and Thai, points of Arabic, accents) are no ``\w``, but belong to the letter before; so does a
    joiner behind a mark, and one between letters.
    """
    mark, joiner = marks(), rf"[{_JOINERS}]"
    word = rf"[^\W_]+(?:[{mark}]+{joiner}?[^\W_]*|{joiner}(?:[^\W_]+|(?=[{mark}])))*"
    inside = rf"[{_INSIDE}]"
    other = rf"(?![{mark}{_JOINERS}])\S[{mark}]*"  # a picture of several, joined, is one
    # A word, with apostrophes and hyphens inside; a number, with points, commas and colons inside; any other character.
    token = rf"{word}(?:(?:{inside}|-|(?<=\d)[.,:](?=\d)){word})*|{other}(?:\u200d{other})*"
    unknown = re.escape(SPECIALS[UNK])
    return re.compile(rf"{unknown}|{word}(?:{inside}{word})*"), re.compile(rf"{unknown}|{token}")


@functools.cache
def marks() -> str:
    r"""All marks that belong to the letter before them and are no ``\w``, as a character class of ``re`` has them."""
    return "".join(_ranges(c for c in (*range(0x20000), *range(0xE0100, 0xE01F0)) if _is_mark(chr(c))))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _ranges(codes: Iterable[int]) -> Iterator[str]:
    """Increasing numbers of characters, as a character class has them."""
    first = last = -1
    for code in codes:
        if code != last + 1:
            if first >= 0:
                yield f"{chr(first)}-{chr(last)}"
            first = code
        last = code
    yield f"{chr(first)}-{chr(last)}"


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


class Text(NamedTuple):
    """The sentences of "train", "val" and perhaps "test", and the number of lines whose markers were left out."""

    splits: dict[str, Sentences]
    marked: int


def ptb(folder: str | Path) -> Text:
    """Penn Treebank as Mikolov prepared it: ``ptb.train.txt``, ``ptb.valid.txt`` and, if it is there, ``ptb.test.txt``.

    Rare words are ``<unk>`` and numbers ``N`` in it.

    Raises:
        UserError: as :func:`read_sentences`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds ptb.train.txt and ptb.valid.txt")
    names = {"train": "ptb.train.txt", "val": "ptb.valid.txt", "test": "ptb.test.txt"}
    files = {split: find(folder, name) or folder / name for split, name in names.items()}
    if not files["test"].exists():
        del files["test"]
    read = {split: read_sentences(file) for split, file in files.items()}
    return Text(
        {split: sentences for split, (sentences, _) in read.items()}, sum(marked for _, marked in read.values())
    )


def text(path: str | Path, by_character: bool = False) -> Text:
    r"""Any text, line by line; its last tenth is ``"val"``, what comes before ``"train"``.

    Of words, empty lines are passed over. ``by_character``, every line is kept as it is, the empty ones too: with the
    end symbol of each line for its ``\n``, they are the text. A file of one line is cut within the line.

    Raises:
        UserError: as :func:`read_lines`; or there are not two words (characters) to train on one and test on the other.
    """
    if by_character:
        raw = [line for _, line in read_lines(path)]
        lines, marked = [characters(line) for line in raw], sum(map(has_markers, raw))
    else:
        lines, marked = read_sentences(path)
    unit = "character" if by_character else "word"
    n = sum(map(len, lines))
    if n < 2:
        raise UserError(f"{path} has {n} {unit}{'' if n == 1 else 's'}: too short to train on; give a longer text")
    if len(lines) > 1:
        train, val = _last_tenth(lines)
    else:
        train, val = ([part] for part in _last_tenth(lines[0]))
    return Text({"train": train, "val": val}, marked)


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
