"""Lines, words and plain text, whole and damaged."""

import bz2
import gzip
import lzma
import os
import random
from pathlib import Path

import numpy as np
import pytest

from scratchlv.data.text import (
    bare_words,
    characters,
    detokenize,
    has_markers,
    ptb,
    read_csv,
    read_lines,
    read_sentences,
    spaced_characters,
    spaced_words,
    text,
    tokenize,
    unigram_perplexity,
)
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.tokens import END


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes, name: str = "some.txt") -> Path:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return write


# --- lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_are_numbered_and_bare(file, end, mark, last):
    path = file(mark + end.join([b"one", b"", " größe ".encode()]) + (end if last else b""))
    assert list(read_lines(path)) == [(1, "one"), (2, ""), (3, " größe ")]
    assert list(read_lines(str(path))) == list(read_lines(path))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_text(file, pack):
    path = file(pack("\ufeffone\r\ngröße\n".encode()))
    assert list(read_lines(path)) == [(1, "one"), (2, "größe")]
    assert read_sentences(path) == ([["one"], ["größe"]], 0)


def test_only_newlines_end_a_line(file):
    strange = "a\x00b\x07\x0b\x0c\x1c\x85\u2028c\rd"
    assert list(read_lines(file(strange + "\nnext\n"))) == [(1, strange), (2, "next")]


def test_a_byte_order_mark_belongs_to_the_file_not_to_a_line(file):
    assert list(read_lines(file("a\n\ufeffb\n"))) == [(1, "a"), (2, "\ufeffb")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("before", "wrong", "line"), [(b"", "caf\xe9\n", 1), ("größer\n\r\n".encode(), "le caf\xe9 noir", 3)]
)
def test_the_byte_of_another_encoding_is_named(file, mark, before, wrong, line):
    content = mark + before + wrong.encode("latin-1")
    at = content.index(b"\xe9")
    with pytest.raises(UserError, match=rf"byte 0xe9 at position {at} \(line {line}\); convert it, e.g. with iconv"):
        list(read_lines(file(content)))


def test_utf16_is_no_utf8(file):
    with pytest.raises(UserError, match=r"byte 0xff at position 0 \(line 1\)"):
        list(read_lines(file("hello".encode("utf-16"))))


def test_a_sequence_cut_off_at_the_end(file):
    with pytest.raises(UserError, match=r"byte 0xc3 at position 5 \(line 2\)"):
        list(read_lines(file(b"abc\nx\xc3")))


def test_files_that_cannot_be_read(file, tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt is not there"):
        list(read_lines(tmp_path / "nothing.txt"))
    with pytest.raises(UserError, match=r"is a folder; give the path of a text file"):
        list(read_lines(tmp_path))
    with pytest.raises(UserError, match=r"cannot be read \(Not a directory\)"):
        list(read_lines(file("x") / "below"))
    assert list(read_lines(file(""))) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(file):
    path = file("x")
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read .*permissions"):
        list(read_lines(path))


def test_csv_rows_know_where_they_begin(file):
    path = file('\ufeffa,b\r\n"two\r\nlines","say ""x"""\r\n\r\nlast,\x00\r\n')
    assert list(read_csv(path)) == [(1, ["a", "b"]), (2, ["two\nlines", 'say "x"']), (5, ["last", "\x00"])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_rows_may_end_as_on_old_macs(file, end):
    path = file(end.join(["text,headline", '"a, b",c', f'"two{end}lines",d']))
    assert list(read_csv(path)) == [(1, ["text", "headline"]), (2, ["a, b", "c"]), (3, ["two\nlines", "d"])]
    assert list(read_csv(file("a,b\rc,d\re,f\ng,h\n"))) == [
        (1, ["a", "b"]),
        (2, ["c", "d"]),
        (3, ["e", "f"]),
        (4, ["g", "h"]),
    ]


def test_a_field_of_100_000_words(file):
    words = "word " * 100_000
    assert list(read_csv(file(f"{words},x\n"))) == [(1, [words, "x"])]


@pytest.mark.parametrize("wrong", ['"never closed,b\nc,d\n', '"a"b,c\nd,e\n'])
def test_quotes_out_of_place(file, wrong):
    with pytest.raises(UserError, match=r"some\.txt line 4: .* begins here; mend its quotes"):
        list(read_csv(file('a,"b\nb"\nc,d\n' + wrong)))


# --- sentences ---------------------------------------------------------------------------------------------------


def test_sentences(file):
    assert read_sentences(file("  the  cat\tsat \n\n \r\n<unk> N\n")) == ([["the", "cat", "sat"], ["<unk>", "N"]], 0)


@pytest.mark.parametrize("empty", ["", "\n \n\t\r\n", "\ufeff"])
def test_no_words(file, empty):
    with pytest.raises(UserError, match=r"some\.txt has no words"):
        read_sentences(file(empty))


def test_ptb(file, tmp_path):
    file(" a b \n c \n", "ptb.train.txt")
    file(" a \n", "ptb.valid.txt")
    assert ptb(tmp_path) == ({"train": [["a", "b"], ["c"]], "val": [["a"]]}, 0)
    file("b\n", "ptb.test.txt")
    assert ptb(str(tmp_path)).splits["test"] == [["b"]]
    (tmp_path / "ptb.valid.txt").unlink()
    with pytest.raises(UserError, match=r"ptb\.valid\.txt is not there"):
        ptb(tmp_path)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        ptb(tmp_path / "nowhere")


def test_ptb_packed(tmp_path):
    for part in ("train", "valid"):
        (tmp_path / f"ptb.{part}.txt.gz").write_bytes(gzip.compress(f"a {part} <unk>\n".encode()))
    assert ptb(tmp_path).splits == {"train": [["a", "train", "<unk>"]], "val": [["a", "valid", "<unk>"]]}


def test_the_last_tenth_validates(file):
    path = file("".join(f"line {i}\n\n" for i in range(25)))
    splits = text(path).splits
    assert splits["train"] + splits["val"] == [["line", str(i)] for i in range(25)]
    assert len(splits["val"]) == 2


def test_of_a_few_lines_one_validates(file):
    assert text(file("a\nb\n")).splits == {"train": [["a"]], "val": [["b"]]}


def test_characters_are_the_text(file):
    content = "First Citizen:\n  Speak,\tspeak. \n\nAll:\n\n\nNo.\n"
    splits = text(file(content), by_character=True).splits
    lines = splits["train"] + splits["val"]
    assert "".join("".join(line) + "\n" for line in lines) == content
    assert splits["val"] == [["N", "o", "."]]
    assert all(len(c) == 1 for line in lines for c in line)


def test_one_line_is_cut_within(file):
    words = [f"w{i}" for i in range(100_000)]
    splits = text(file(" ".join(words))).splits
    assert splits == {"train": [words[:90_000]], "val": [words[90_000:]]}
    assert text(file("abc\n"), by_character=True).splits == {"train": [["a", "b"]], "val": [["c"]]}


def test_one_word_again_and_again(file):
    assert text(file("no " * 5)).splits == {"train": [["no"] * 4], "val": [["no"]]}


@pytest.mark.parametrize(
    ("content", "characters", "message"),
    [
        ("hello\n", False, "has 1 word: too short"),
        ("h", True, "has 1 character: too short"),
        ("\n\n\n", True, "has 0 characters: too short"),
        ("", True, "has 0 characters: too short"),
        ("\n", False, "has no words"),
    ],
)
def test_too_short_to_train_on(file, content, characters, message):
    with pytest.raises(UserError, match=rf"some\.txt {message}"):
        text(file(content), characters)


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("He won't, 'ever'.", ["he", "won't", ",", "'", "ever", "'", "."]),
        ("don’t", ["don't"]),
        ("₹5.5 lakh, 45% of $1,000,000", ["₹", "5.5", "lakh", ",", "45", "%", "of", "$", "1,000,000"]),
        ("In 2015, at 5:30; then...", ["in", "2015", ",", "at", "5:30", ";", "then", ".", ".", "."]),
        ("me...when A.B,C", ["me", ".", ".", ".", "when", "a", ".", "b", ",", "c"]),
        ("snake_case x-y - z", ["snake", "_", "case", "x-y", "-", "z"]),
        ("cafe\u0301 ÜBER", ["caf\u00e9", "über"]),
        ("\x00 a\tb\nc", ["\x00", "a", "b", "c"]),
        ("", []),
        (" \n", []),
    ],
)
def test_tokenize(raw, words):
    assert tokenize(raw) == words


@pytest.mark.parametrize(
    "written",
    [
        'she said, "he won\'t (ever) go", and left.',
        "daman & diu: 45% of $1,000 [or £700] - paid at 5:30!",
        "'virgin' now 'unmarried' in igims' form",
        "\"it's 'over'\", he said; and/or not? yes...",
        "60-year-old #1 wrote to @home",
        "",
    ],
)
def test_detokenize_is_the_inverse(written):
    assert detokenize(tokenize(written)) == written
    assert detokenize(tokenize(written.upper())) == written


def test_what_is_detokenized_has_the_same_words():
    rng = random.Random(1)
    signs = "ab1 2é'\"-.,:;()[]$%/&_ \u0301İß\x00#"
    for _ in range(2000):
        words = tokenize("".join(rng.choice(signs) for _ in range(rng.randrange(20))))
        assert tokenize(detokenize(words)) == words


def test_bare_words():
    assert bare_words("Is the man's T-shirt red?") == ["is", "the", "man's", "t", "shirt", "red"]
    assert bare_words(" ?! ") == []


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("एक काला कुत्ता घास पर दौड़ रहा है", 8),  # vowels and the virama are marks
        ("একটি কালো কুকুর ঘাসের উপর দৌড়াচ্ছে", 6),
        ("كَتَبَ الوَلَدُ الدَّرْسَ", 3),  # points
        ("می\u200cخواهم بروم", 2),  # a joiner within
        ("അവന്\u200d വന്നു", 2),  # and behind a mark
        ("র\u200c্যাম", 1),  # and before one
        ("הַכֶּלֶב צה״ל", 2),
        ("แมวดำ นอน", 2),
        ("tre\u0300s bien", 2),
        ("col·lecció l'hivern", 2),
        ("q\u0308\u0323 x", 2),  # a letter that has no form of one character
    ],
)
def test_marks_and_joiners_belong_to_words(raw, words):
    assert len(bare_words(raw)) == len(tokenize(raw)) == words
    assert bare_words(raw) == tokenize(raw) == spaced_words(raw)
    assert bare_words(f"«{raw}» !") == bare_words(raw)
    assert tokenize(detokenize(tokenize(raw))) == tokenize(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("İSTANBUL'DA İyi", ["istanbul'da", "iyi"]),
        ("I\u0307yi", ["iyi"]),
        ("TRE\u0300S", ["très"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("Zu\u00adcker \ufeffund\u200b \u200fSalz\u200e", ["zucker", "und", "salz"]),  # what cannot be seen
        ("a \u0301 b \u200d", ["a", "b"]),  # marks and joiners of nothing
        ("a <unk> b", ["a", "<unk>", "b"]),
    ],
)
def test_lower_case_and_what_cannot_be_seen(raw, words):
    assert bare_words(raw) == tokenize(raw) == words


def test_a_picture_of_several_is_one_token():
    assert tokenize("👩\u200d🍳 ❤\ufe0f!") == ["👩\u200d🍳", "❤\ufe0f", "!"]


@pytest.mark.parametrize(
    "marked",
    [
        "<start> un deux <end>",
        "<s>un deux</s>",
        "<sos> un deux <eos> <pad> <pad>",
        "<BOS> un deux <EOS>",
        "startseq un deux endseq",
        "[start] un deux [end]",
        "un <end> deux",
    ],
)
def test_markers_of_other_programs(marked):
    assert has_markers(marked)
    assert bare_words(marked) == tokenize(marked) == spaced_words(marked) == ["un", "deux"]
    assert "".join(spaced_characters(marked)) == "".join(characters(marked)) == "un deux"


@pytest.mark.parametrize(
    "plain", ["a <s> b", "the start of the end", "a < b > c", "[x] y", "restartseq", "<unk> N <unk>", ""]
)
def test_what_is_no_marker(plain):
    assert not has_markers(plain)
    assert spaced_words(plain) == plain.split()


def test_characters_keep_what_stands_between_words():
    assert "".join(characters("  Le\tchat  ")) == "  Le\tchat  "
    assert "".join(spaced_characters("  Le\tchat  ")) == "Le chat"


# --- the baseline ------------------------------------------------------------------------------------------------


def test_unigram_perplexity_by_hand():
    # a a b, V = 3: p(a) = 3/6, p(b) = 2/6, p(c) = 1/6
    train = np.array([[0, 0, 1]])
    assert unigram_perplexity(train, np.array([0]), 3) == pytest.approx(2)
    assert unigram_perplexity(train, np.array([1, 2]), 3) == pytest.approx(18**0.5)


def test_unigram_perplexity_without_knowledge_is_the_vocabulary():
    assert unigram_perplexity([], [0, 3, 3], 7) == pytest.approx(7)
    assert unigram_perplexity([0] * 10**6, [0], 1) == pytest.approx(1)


@pytest.mark.parametrize(("train", "val"), [([3], [0]), ([0], [3]), ([-1], [0]), ([0], [])])
def test_unigram_perplexity_of_wrong_ids(train, val):
    with pytest.raises(ValueError, match="ids"):
        unigram_perplexity(train, val, 3)


def test_the_real_treebank(public_set):
    splits = ptb(public_set("ptb")).splits
    assert [sum(map(len, splits[s])) for s in ("train", "val")] == [887_521, 70_390]
    vocabulary = Vocabulary.from_counts(splits["train"])
    assert len(vocabulary) == 10_000 + 2  # with <unk> and <end>; besides, <pad> and <start>
    train, val = ([i for s in splits[name] for i in [*vocabulary.encode(s), END]] for name in ("train", "val"))
    assert len(train) == 929_589 and len(val) == 73_760  # as published
    assert 100 < unigram_perplexity(train, val, len(vocabulary)) < 1000


def test_the_real_shakespeare(public_set):
    path = public_set("tinyshakespeare") / "input.txt"
    splits = text(path, characters=True)
    lines = splits["train"] + splits["val"]
    assert "".join("".join(line) + "\n" for line in lines) == path.read_text(encoding="utf-8")
    assert (len(splits["train"]), len(splits["val"])) == (36_000, 4_000)
