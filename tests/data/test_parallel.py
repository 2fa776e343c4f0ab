"""Pairs of texts: aligned files and CSV, whole and damaged."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from scratchlv.data.parallel import csv_pairs, jsonl_pairs, multi30k, parallel, tsv_pairs
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


# --- texts between tabs, and JSON lines ----------------------------------------------------------------------------


TATOEBA = [
    "Go.\tVa !\tCC-BY 2.0 #1",
    "Go.\tVas-y.\tCC-BY 2.0 #2",
    "",
    "Hi.\tSalut !\tCC-BY",
    "Run!\t\tCC-BY",
    "Stop!\tÇa suffit !",
]


def test_tatoeba(tmp_path):
    pairs = tsv_pairs(write(tmp_path / "fra.txt", TATOEBA))
    assert sorted(pairs.train + pairs.val) == sorted(
        [
            (["go", "."], ["va", "!"]),
            (["go", "."], ["vas-y", "."]),
            (["hi", "."], ["salut", "!"]),
            (["stop", "!"], ["ça", "suffit", "!"]),
        ]
    )
    assert (pairs.dropped, pairs.repeated) == (1, 0)


def rows(n):
    """Sorted by length, with two targets of each source."""
    return [(f"cat {'very ' * i}.", f"chat {i} {k}") for i in range(n) for k in (0, 1)]


def as_json(pairs, **more):
    return [json.dumps({"source": x, "target": y} | more, ensure_ascii=False) for x, y in pairs]


def read(tmp_path, kind, pairs, name="all"):
    if kind == "tsv":
        return tsv_pairs(write(tmp_path / f"{name}.tsv", [f"{x}\t{y}" for x, y in pairs]))
    return jsonl_pairs(write(tmp_path / f"{name}.jsonl", as_json(pairs)), "source", "target")


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_a_tenth_of_the_sources_by_chance_validates(tmp_path, kind):
    pairs = read(tmp_path, kind, rows(50))
    sources = [{len(x) for x, _ in part} for part in (pairs.train, pairs.val)]
    assert list(map(len, sources)) == [45, 5] and not sources[0] & sources[1]
    assert len(pairs.val) == 10
    assert min(sources[1]) < 25 < max(sources[1])  # not the longest
    assert read(tmp_path, kind, rows(50)) == pairs
    assert not {len(x) for x, _ in read(tmp_path, kind, rows(45)).val} - sources[1] - {len(x) for x, _ in pairs.train}


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
@pytest.mark.parametrize("part", ["val", "valid", "validation", "dev"])
def test_a_validation_part_beside(tmp_path, kind, part):
    read(tmp_path, kind, rows(3), f"fr.{part}")
    pairs = read(tmp_path, kind, rows(20), "fr.train")
    assert (len(pairs.train), len(pairs.val)) == (40, 6)
    write(tmp_path / f"fr.{part}.{kind}", [])
    with pytest.raises(UserError, match=rf"fr\.{part}\.{kind} has no pair of texts"):
        read(tmp_path, kind, rows(20), "fr.train")


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_of_one_source_nothing_can_be_held_out(tmp_path, kind):
    with pytest.raises(UserError, match="1 different sources are too few"):
        read(tmp_path, kind, rows(1))


def test_a_line_without_a_tab(tmp_path):
    with pytest.raises(UserError, match=r"a\.tsv line 3: expected source<TAB>target, found 'c d'; mend it"):
        tsv_pairs(write(tmp_path / "a.tsv", ["a\tb", "", "c d"]))
    with pytest.raises(UserError, match=r"a\.tsv line 1: .*: it looks like a CSV file; give it by --data csv:"):
        tsv_pairs(write(tmp_path / "a.tsv", ["a,b", "c,d"]))
    with pytest.raises(UserError, match=r"a\.tsv has no column 'text': it looks like texts between tabs; .*tsv:FILE"):
        csv_pairs(write(tmp_path / "a.tsv", ["text\theadline", "a\tb"]), "text", "headline")


def test_keys_within_objects_and_texts_that_are_null(tmp_path):
    lines = [json.dumps({"translation": {"en": f"cat {i}", "de": f"Katze {i}" if i else None}}) for i in range(12)]
    pairs = jsonl_pairs(write(tmp_path / "a.jsonl", lines), "translation.en", "translation.de")
    assert (len(pairs.train + pairs.val), pairs.dropped) == (11, 1)
    assert (["cat", "3"], ["katze", "3"]) in pairs.train + pairs.val


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", r"line 2: expected a JSON object, found '\[1\]'"),
        ('{"source": "a"', "line 2: expected a JSON object"),
        ("[" * 100_000, "line 2: expected a JSON object"),
        ('{"source": "a", "goal": "b"}', "line 2 has no key 'target'; choose from source, goal"),
        ("{}", "line 2 has no key 'source'; choose from none"),
        ('{"source": "a", "target": ["b"]}', r'line 2: target is no text \(\["b"\]\)'),
        ('{"source": 3, "target": "b"}', r"line 2: source is no text \(3\)"),
    ],
)
def test_malformed_json_lines(tmp_path, line, message):
    path = write(tmp_path / "a.jsonl", [*as_json([("a", "b")]), line])
    with pytest.raises(UserError, match=rf"a\.jsonl {message}"):
        jsonl_pairs(path, "source", "target")


def test_one_json_that_is_no_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"question_id": 1, "answer": "a"}], indent=1))
    with pytest.raises(UserError, match=r"a\.json line 1: .*: it looks like results in VQA's format"):
        jsonl_pairs(path, "source", "target")


# --- Multi30k as it is distributed ---------------------------------------------------------------------------------


def archive(folder, name, files):
    with tarfile.open(folder / name, "w:gz") as packed:
        for inner, text in files.items():
            member = tarfile.TarInfo(inner)
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))


def test_multi30k_from_its_archives(tmp_path):
    archive(
        tmp_path, "training.tar.gz", {"._train.en": "x", "train.en": "A cat.\nTwo\n", "train.de": "Eine Katze.\nZwei\n"}
    )
    archive(tmp_path, "validation.tar.gz", {"val.en": "A dog\n", "val.de": "Ein Hund\n"})
    pairs = multi30k(tmp_path, "en", "de")
    assert pairs.train == [(["a", "cat", "."], ["eine", "katze", "."]), (["two"], ["zwei"])]
    assert (pairs.val, pairs.test) == ([(["a", "dog"], ["ein", "hund"])], [])
    archive(tmp_path, "mmt16_task1_test.tar.gz", {"a/test2016.en": "A\n\n", "a/test2016.de": "Ein\nx\n"})
    pairs = multi30k(tmp_path, "en", "de")
    assert (pairs.test, pairs.dropped) == ([(["a"], ["ein"])], 1)
    with pytest.raises(UserError, match=r"has no train\.fr, nor an archive training\.tar\.gz with it"):
        multi30k(tmp_path, "en", "fr")


@pytest.mark.parametrize("below", [".", "data/task1/raw"])
def test_multi30k_from_its_files(tmp_path, below):
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    for name in ("train", "val", "test_2016_flickr"):
        for language in ("en", "de"):
            (tmp_path / below / f"{name}.{language}.gz").write_bytes(gzip.compress(f"{name} {language}\n".encode()))
    pairs = multi30k(tmp_path, "de", "en")
    assert (pairs.train, pairs.test) == (
        [(["train", "de"], ["train", "en"])],
        [(tokenize("test_2016_flickr de"), tokenize("test_2016_flickr en"))],
    )


def test_multi30k_damaged(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        multi30k(tmp_path / "nowhere", "en", "de")
    archive(tmp_path, "training.tar.gz", {"train.en": "A cat.\n" * 999, "train.de": "Eine Katze.\n"})
    with pytest.raises(UserError, match=r"training\.tar\.gz: train\.en has 999 lines and .*: train\.de has 1;"):
        multi30k(tmp_path, "en", "de")
    whole = (tmp_path / "training.tar.gz").read_bytes()
    for part in (whole[:100], b"nothing"):
        (tmp_path / "training.tar.gz").write_bytes(part)
        with pytest.raises(UserError, match=r"training\.tar\.gz cannot be unpacked \(.*download it again"):
            multi30k(tmp_path, "en", "de")


# --- real --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_real_multi30k(language, public_set):
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
