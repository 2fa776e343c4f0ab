"""Pairs of texts: aligned files and CSV, whole and damaged."""

from pathlib import Path

import pytest

from scratchlv.data.parallel import csv_pairs, parallel
from scratchlv.data.text import detokenize, spaced_characters, tokenize
from scratchlv.errors import UserError


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def numbered(tmp_path: Path, n: int, stem: str = "all") -> tuple[Path, Path]:
    source = write(tmp_path / f"{stem}.en", [f"cat {i} ." for i in range(n)])
    return source, write(tmp_path / f"{stem}.fr", [f"chat {i} ." for i in range(n)])


@pytest.mark.parametrize(("n", "held_out"), [(2, 1), (9, 1), (39, 3), (10_010, 1000)])
def test_the_last_pairs_validate(tmp_path, n, held_out):
    pairs = parallel(*numbered(tmp_path, n))
    assert pairs.train + pairs.val == [(["cat", str(i), "."], ["chat", str(i), "."]) for i in range(n)]
    assert len(pairs.val) == held_out
    assert (pairs.dropped, pairs.repeated) == (0, 0)


def test_official_validation_files(tmp_path):
    files = numbered(tmp_path, 20, "train.tok")
    write(tmp_path / "val.tok.en", ["one cat", "cat 3 .", ""])
    write(tmp_path / "val.tok.fr", ["un chat", "chat 3 .", "rien"])
    pairs = parallel(*files)
    assert pairs.val == [(["one", "cat"], ["un", "chat"]), (["cat", "3", "."], ["chat", "3", "."])]
    assert len(pairs.train) == 20  # as they come, though one source is in both
    assert pairs.dropped == 1


def test_half_of_the_validation_files(tmp_path):
    files = numbered(tmp_path, 20, "train.tok")
    write(tmp_path / "val.tok.fr", ["un chat"])
    with pytest.raises(UserError, match=r"val\.tok\.fr is there, but .*val\.tok\.en is not"):
        parallel(*files)


def test_files_of_other_names_have_no_official_part(tmp_path):
    source, target = numbered(tmp_path, 20, "train.tok")
    write(tmp_path / "val.tok.en", ["one cat"])
    assert len(parallel(source, target.rename(tmp_path / "french.txt")).val) == 2


def test_unequal_lengths_are_counted(tmp_path):
    source, target = numbered(tmp_path, 12)
    write(target, ["chat"] * 7)
    with pytest.raises(UserError, match=r"all\.en has 12 lines and .*all\.fr has 7;"):
        parallel(source, target)


def test_unequal_validation_files(tmp_path):
    files = numbered(tmp_path, 20, "train")
    write(tmp_path / "val.en", ["one cat", "two"])
    write(tmp_path / "val.fr", ["un chat"])
    with pytest.raises(UserError, match=r"val\.en has 2 lines and .*val\.fr has 1;"):
        parallel(*files)


def test_pairs_with_an_empty_side_are_counted(tmp_path):
    source = write(tmp_path / "s", ["a", "", "c", " ", "e"])
    target = write(tmp_path / "t", ["A", "B", "", "\t", "E"])
    pairs = parallel(source, target)
    assert (pairs.train, pairs.val, pairs.dropped) == ([(["a"], ["A"])], [(["e"], ["E"])], 3)


def test_a_source_that_is_repeated_is_on_one_side_only(tmp_path):
    source = write(tmp_path / "s", ["b", "a  b", *"cdefghi", "a b", "j", *"cdefghi", "a b", "b"])
    target = write(tmp_path / "t", [str(i) for i in range(20)])
    pairs = parallel(source, target)
    assert [y for _, y in pairs.val] == [["18"], ["19"]]
    assert not {tuple(x) for x, _ in pairs.train} & {tuple(x) for x, _ in pairs.val}
    assert pairs.repeated == 3 and len(pairs.train) == 15


@pytest.mark.parametrize("lines", [[], [""], ["x"], ["x", "x"], ["x", ""]])
def test_too_few(tmp_path, lines):
    source, target = write(tmp_path / "s", lines), write(tmp_path / "t", lines)
    with pytest.raises(UserError, match="have no pair|too few to train"):
        parallel(source, target)


def test_a_line_of_100_000_words(tmp_path):
    long = "word " * 100_000
    pairs = parallel(write(tmp_path / "s", [long, "x"]), write(tmp_path / "t", ["y", long]))
    assert pairs.train == [(["word"] * 100_000, ["y"])]


# --- CSV ---------------------------------------------------------------------------------------------------------


def test_columns_by_name(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text(
        '\ufeffid, text ,headline\n1,"He said ""no"", twice.",No!\n2,,Empty\n3,Yes.,\n\n4,"It\nis.",It is\n',
        encoding="utf-8",
    )
    pairs = csv_pairs(path, "text", "headline")
    assert pairs.train == [(["he", "said", '"', "no", '"', ",", "twice", "."], ["no", "!"])]
    assert pairs.val == [(["it", "is", "."], ["it", "is"])]
    assert pairs.dropped == 2
    assert csv_pairs(path, "headline", "id").val == [(["it", "is"], ["4"])]


def test_an_unknown_column(tmp_path):
    path = write(tmp_path / "news.csv", ["text,headline", "a,b"])
    with pytest.raises(UserError, match=r"news\.csv has no column 'title'; choose from text, headline"):
        csv_pairs(path, "text", "title")
    with pytest.raises(UserError, match="it is empty"):
        csv_pairs(write(path, []), "text", "headline")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "c"], "line 3: 1 fields, but the first line names 2"),
        (['"a\n2",b', "c,d,e"], "line 4: 3 fields, but the first line names 2"),
        (["a,b", 'c,"d'], "line 3: .*quotes"),
        (["a,b", '"c"x,d'], "line 3: .*quotes"),
        (["a,b"], "1 pairs are too few"),
    ],
)
def test_malformed_csv(tmp_path, lines, message):
    path = write(tmp_path / "news.csv", ["text,headline", *lines])
    with pytest.raises(UserError, match=rf"news\.csv:? {message}"):
        csv_pairs(path, "text", "headline")


# --- real --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["de", "fr"])
def test_multi30k(language, public_set):
    folder = public_set("multi30k")
    pairs = parallel(folder / "train.lc.norm.tok.en", folder / f"train.lc.norm.tok.{language}")
    assert (len(pairs.train), len(pairs.val), pairs.dropped) == (29_000, 1_014, 0)


def test_news(public_set):
    pairs = csv_pairs(public_set("news") / "news.train.csv", "text", "headline")
    assert (len(pairs.train), len(pairs.val), pairs.dropped, pairs.repeated) == (3_600, 400, 0, 0)
    for words in (words for pair in pairs.train + pairs.val for words in pair):
        assert tokenize(detokenize(words)) == words


# --- as others write it ------------------------------------------------------------------------------------------


def test_markers_are_left_out_and_counted(tmp_path):
    source = write(tmp_path / "all.en", ["one", "two", "<s> </s>", "four"])
    target = write(tmp_path / "all.fr", ["<start> un <end>", "deux", "trois", "quatre"])
    pairs = parallel(source, target)
    assert pairs.train + pairs.val == [(["one"], ["un"]), (["two"], ["deux"]), (["four"], ["quatre"])]
    assert (pairs.marked, pairs.dropped) == (2, 1)
    table = write(tmp_path / "all.csv", ["x,y", "one,[start] un [end]", "two,deux"])
    assert csv_pairs(table, "x", "y").marked == 1


def test_pairs_may_be_cut_into_characters(tmp_path):
    source, target = write(tmp_path / "a", ["黑猫", "白 狗"]), write(tmp_path / "b", ["Ab", " c"])
    pairs = parallel(source, target, spaced_characters)
    assert pairs.train + pairs.val == [(["黑", "猫"], ["A", "b"]), (["白", " ", "狗"], ["c"])]
