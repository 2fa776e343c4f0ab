"""Flickr8k's files, in their layouts, whole and damaged."""

import gzip
from pathlib import Path

import pytest

from scratchlv.data.flickr8k import Flickr8k, tokenize
from scratchlv.errors import UserError

CAPTIONS = {"a.jpg": ["A dog , running .", 'He said "sit" .'], "b.jpg": ["Two men", "Men"], "c.jpg": ["Snow ."]}


def write_tokens(path: Path) -> None:
    path.write_text(
        "".join(f"{n}#{i}\t{c}\n" for n, cs in CAPTIONS.items() for i, c in enumerate(cs)), encoding="utf-8"
    )


def write_csv(path: Path) -> None:
    quoted = ['"' + c.replace('"', '""') + '"' for cs in CAPTIONS.values() for c in cs]
    names = [n for n, cs in CAPTIONS.items() for _ in cs]
    path.write_text(
        "image,caption\n" + "".join(f"{n},{c}\n" for n, c in zip(names, quoted, strict=True)), encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path):
    write_tokens(tmp_path / "Flickr8k.token.txt")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("b.jpg\na.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("c.jpg\n\n")
    (tmp_path / "images").mkdir()
    for name in CAPTIONS:
        (tmp_path / "images" / name).touch()
    return tmp_path


def test_splits(folder):
    data = Flickr8k(str(folder))
    images = folder / "images"
    assert data.split("train") == [(images / name, CAPTIONS[name]) for name in ("b.jpg", "a.jpg")]
    assert data.split("val") == [(images / "c.jpg", CAPTIONS["c.jpg"])]


@pytest.mark.parametrize("images", ["Images", "Flicker8k_Dataset", "Flickr8k_Dataset"])
@pytest.mark.parametrize("texts", [".", "Flickr8k_text"])
def test_other_layouts(folder, images, texts):
    (folder / "images").rename(folder / images)
    (folder / "Flickr8k.token.txt").unlink()
    (folder / texts).mkdir(exist_ok=True)
    write_csv(folder / texts / "captions.txt")
    (folder / "Flickr_8k.trainImages.txt").rename(folder / texts / "Flickr_8k.trainImages.txt")
    expected = [(folder / images / name, CAPTIONS[name]) for name in ("b.jpg", "a.jpg")]
    assert Flickr8k(folder).split("train") == expected


def test_windows_line_ends_and_byte_order_mark(folder):
    text = (folder / "Flickr8k.token.txt").read_text("utf-8")
    (folder / "Flickr8k.token.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (folder / "Flickr_8k.trainImages.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n")
    assert Flickr8k(folder).split("train") == [(folder / "images" / "a.jpg", CAPTIONS["a.jpg"])]


@pytest.fixture
def kaggle(tmp_path):
    """As Kaggle has it: no lists of splits."""
    (tmp_path / "Images").mkdir()
    names = [f"{i}.jpg" for i in range(20)]
    for name in names:
        (tmp_path / "Images" / name).touch()
    (tmp_path / "captions.txt").write_text("image,caption\n" + "".join(f"{n},A {k}\n" for n in names for k in "abcde"))
    return tmp_path


def test_without_lists_it_is_cut_by_picture_always_the_same(kaggle):
    data = Flickr8k(kaggle)
    splits = {split: [path.name for path, _ in data.split(split)] for split in ("train", "val", "test")}
    assert [len(names) for names in splits.values()] == [16, 2, 2]
    assert len(set(sum(splits.values(), []))) == 20
    assert splits["val"] == [path.name for path, _ in Flickr8k(kaggle).split("val")]
    assert {len(captions) for _, captions in data.split("train")} == {5}
    assert "by chance, by picture" in data.notes[0]


def test_what_was_cut_stays_where_it_is_when_pictures_are_missing(kaggle):
    val = [path for path, _ in Flickr8k(kaggle).split("val")]
    val[0].unlink()
    assert [path for path, _ in Flickr8k(kaggle).split("val", skip_missing=True)] == val[1:]


def test_a_single_list_is_no_reason_to_cut(kaggle):
    (kaggle / "Flickr_8k.testImages.txt").write_text("0.jpg\n")
    with pytest.raises(UserError, match=r"has no Flickr_8k\.trainImages\.txt"):
        Flickr8k(kaggle).split("train")
    assert Flickr8k(kaggle).notes == ()


def test_too_few_pictures_to_cut(kaggle):
    (kaggle / "captions.txt").write_text("image,caption\n0.jpg,A\n")
    with pytest.raises(UserError, match=r"captions\.txt has too few pictures for a split 'train'"):
        Flickr8k(kaggle).split("train")


def test_packed_files(folder):
    for name in ("Flickr8k.token.txt", "Flickr_8k.trainImages.txt"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert [path.name for path, _ in Flickr8k(folder).split("train")] == ["b.jpg", "a.jpg"]


def test_a_split_that_is_not_there(folder):
    data = Flickr8k(folder)
    with pytest.raises(UserError, match=r"has no Flickr_8k\.testImages\.txt"):
        data.split("test")
    with pytest.raises(UserError, match="no split 'dev'; choose one of train, val, test"):
        data.split("dev")


def test_missing_pictures_are_counted_and_named(folder):
    data = Flickr8k(folder)
    (folder / "Flickr_8k.trainImages.txt").write_text("".join(f"{i}.jpg\n" for i in range(5)) + "a.jpg\n")
    with pytest.raises(
        UserError, match=r"trainImages\.txt lists 5 of 6 pictures .*\(0\.jpg, 1\.jpg, 2\.jpg, …\); copy"
    ):
        data.split("train")


def test_pictures_without_captions_are_named(folder):
    (folder / "images" / "d.jpg").touch()
    (folder / "Flickr_8k.trainImages.txt").write_text("a.jpg\nd.jpg\n")
    with pytest.raises(UserError, match=r"lists 1 of 2 pictures without a caption in .*token\.txt \(d\.jpg\)"):
        Flickr8k(folder).split("train")


def test_an_empty_list(folder):
    (folder / "Flickr_8k.trainImages.txt").write_text("\n")
    with pytest.raises(UserError, match="names no picture"):
        Flickr8k(folder).split("train")


def test_missing_parts(folder):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        Flickr8k(folder / "nowhere")
    (folder / "images").rename(folder / "photos")
    with pytest.raises(UserError, match="no folder of pictures"):
        Flickr8k(folder)
    (folder / "Flickr8k.token.txt").unlink()
    with pytest.raises(UserError, match=r"has no Flickr8k\.token\.txt or captions\.txt"):
        Flickr8k(folder)


@pytest.mark.parametrize("line", ["a.jpg A dog", "a.jpg\tA dog", "a.jpg#x\tA dog", "#0\tA dog", "a.jpg#1\t "])
def test_malformed_lines_are_numbered(folder, line):
    with open(folder / "Flickr8k.token.txt", "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UserError, match=r"Flickr8k\.token\.txt line 7: expected"):
        Flickr8k(folder)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1: expected the header"),
        ("a.jpg,A dog\n", "line 1: expected the header"),
        ("image,caption\na.jpg,A dog\n\na.jpg,A dog, running\n", "line 4: expected"),
        ("image,caption\na.jpg\n", "line 2: expected"),
        ("image,caption\na.jpg,\n", "line 2: expected"),
        ('image,caption\na.jpg,"A dog\n', "line 2: "),
    ],
)
def test_malformed_csv(folder, text, where):
    (folder / "Flickr8k.token.txt").unlink()
    (folder / "captions.txt").write_text(text)
    with pytest.raises(UserError, match=rf"captions\.txt {where}"):
        Flickr8k(folder)


def test_text_in_another_encoding(folder):
    (folder / "Flickr8k.token.txt").write_bytes("a.jpg#0\tA café\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"Flickr8k\.token\.txt is not UTF-8"):
        Flickr8k(folder)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A Black dog , running .", ["a", "black", "dog", "running"]),
        ('the man\'s 2 dogs don’t "sit"', ["the", "man's", "2", "dogs", "don't", "sit"]),
        ("brown-and-white 'quoted' dogs' 's", ["brown", "and", "white", "quoted", "dogs", "s"]),
        ("Ein Café_Über", ["ein", "café", "über"]),
        (" . ", []),
        ("", []),
    ],
)
def test_tokenize(caption, words):
    assert tokenize(caption) == words


def test_the_real_set(public_set):
    data = Flickr8k(public_set("flickr8k"))
    train, val = data.split("train"), data.split("val")
    assert (len(train), len(val)) == (6000, 1000)
    assert {len(captions) for _, captions in train + val} == {5}
    assert not {path for path, _ in train} & {path for path, _ in val}
    assert all(tokenize(caption) for _, captions in train for caption in captions)
