"""Files: packed, damaged, of JSON and not."""

import bz2
import gzip
import lzma

import pytest

from scratchlv.data import files
from scratchlv.errors import UserError

TEXT = b"un\ndeux\n" * 500
PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["a.txt.{}", "a.txt"])
def test_packed_files_are_unpacked_whatever_their_name(tmp_path, kind, name):
    file = tmp_path / name.format(kind)
    file.write_bytes(PACK[kind](TEXT))
    with files.opened(file) as found:
        assert found.read() == TEXT


@pytest.mark.parametrize("kind", PACK)
def test_a_packed_file_that_is_not_whole(tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    whole = PACK[kind](TEXT)
    damaged = whole[:12] + bytes(byte ^ 255 for byte in whole[12:30]) + whole[30:]
    for found in (whole[: len(whole) // 2], damaged):
        file.write_bytes(found)
        with (
            pytest.raises(UserError, match=rf"a\.{kind} cannot be unpacked \(.+\); copy or download it again"),
            files.opened(file) as opened,
        ):
            opened.read()


def test_paths_that_are_no_files(tmp_path):
    for path, problem in ((tmp_path, "is a folder"), (tmp_path / "a", "is not there")):
        with pytest.raises(UserError, match=f"{problem}; give the path of a JSON file"):
            files.read_json(path)


def test_a_file_is_found_by_its_name_packed_or_not(tmp_path):
    assert files.find(tmp_path, "a.txt", "b.txt") is None
    (tmp_path / "b.txt.gz").touch()
    assert files.find(tmp_path, "a.txt", "b.txt") == tmp_path / "b.txt.gz"
    (tmp_path / "b.txt").touch()
    assert files.find(tmp_path, "a.txt", "b.txt") == tmp_path / "b.txt"
    assert files.unpacked_name(tmp_path / "b.txt.gz") == files.unpacked_name(tmp_path / "b.txt") == "b.txt"


def test_the_file_of_another_part(tmp_path):
    train = tmp_path / "captions_train2014.json.gz"
    assert files.sibling(train, "val") is None
    (tmp_path / "captions_val2014.json").touch()
    assert files.sibling(train, "val") == tmp_path / "captions_val2014.json"
    assert files.sibling(tmp_path / "captions.json", "val") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "line 1 column 1: Expecting value"),
        (b'{"a": [1, 2', "line 1 column 12"),
        (b'{"a": 1}\n{"a": 2}\n', "line 2 column 1: Extra data"),
        (b'{"a": "caf\xe9"}', "byte 0xe9 at position 10 is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_no_json(tmp_path, text, problem):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(UserError, match=rf"a\.json is no JSON, or not whole \({problem}.*copy or download it again"):
        files.read_json(tmp_path / "a.json")


def test_json_with_a_byte_order_mark_packed(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'\xef\xbb\xbf{"a": {"b": 1}}'))
    assert files.read_json(tmp_path / "a.json.gz") == {"a": {"b": 1}}
    assert files.read_json(tmp_path / "a.json.gz", object_hook=sorted) == ["a"]


def test_names_and_numbers():
    assert files.is_file_name("a.jpg") and files.is_file_name("a..b")
    assert not any(map(files.is_file_name, ["", " ", ".", "..", "../a", "/a", "a\\b", "a\0", None, 3]))
    assert files.is_number(0) and not any(map(files.is_number, [True, 1.0, "1", None]))
