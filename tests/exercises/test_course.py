"""A course: found by name, number or file; in a folder or a zip that may be anything."""

import os
import stat
import zipfile

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import course as courses
from scratchlv.exercises.course import open_course
from tests.exercises import examples


@pytest.fixture
def folder(tmp_path):
    for order, name in ((2, "softmax"), (1, "float32"), (7, "masked_mean")):
        examples.write(tmp_path / "three" / name, toml=examples.TOML.replace("order = 1", f"order = {order}"))
    return tmp_path / "three"


@pytest.fixture
def course(folder):
    return open_course(folder)


@pytest.fixture
def zipped(tmp_path):
    def write(**entries):
        path = tmp_path / "course.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, text in entries.items():
                file.writestr(name, text)
        return path

    return write


SOFTMAX = {"softmax/exercise.toml": examples.TOML}


def test_exercises_come_in_their_order(course):
    assert [each.name for each in course] == ["float32", "softmax", "masked_mean"] and len(course) == 3


@pytest.mark.parametrize("name", ["masked_mean", "7", "07", "07_masked_mean", "07_masked_mean.py", "masked_mean.py"])
def test_an_exercise_is_found_by(course, name):
    assert course.find(name).name == "masked_mean"


def test_a_name_that_begins_with_digits_is_a_name(folder):
    examples.write(folder / "1d_convolution", toml=examples.TOML.replace("order = 1", "order = 9"))
    assert open_course(folder).find("1d_convolution").name == "1d_convolution"
    assert open_course(folder).find("09_1d_convolution.py").name == "1d_convolution"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sofmax", "there is no exercise 'sofmax'; the nearest are softmax"),
        ("mean", "there is no exercise 'mean'; the nearest are masked_mean"),
        ("8", "there is no exercise '8'; scratchlv exercise list shows all"),
        ("zzz", "there is no exercise 'zzz'; scratchlv exercise list shows all"),
        ("", "there is no exercise ''; scratchlv exercise list shows all"),
        ("07_maskedmean.py", "there is no exercise '07_maskedmean.py'; the nearest are masked_mean"),
        ("../../etc/passwd", "there is no exercise '../../etc/passwd'; scratchlv exercise list shows all"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(course, name, sentence):
    with pytest.raises(UserError) as caught:
        course.find(name)
    assert str(caught.value) == sentence


def test_one_exercise_is_a_course_and_the_built_in_one_is_there(folder):
    assert [each.name for each in open_course(folder / "softmax")] == ["softmax"]
    assert len(open_course()) > 30 and open_course().where is None


def test_no_course_is_told(tmp_path, zipped):
    with pytest.raises(UserError, match="there is no such course; give a folder of exercises, or a zip"):
        open_course(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "empty", zipped(**{"readme.txt": "nothing"})):
        with pytest.raises(UserError, match="holds no exercise: each is a folder with an exercise.toml"):
            open_course(where)


def test_a_zip_is_unpacked_once_for_each_content(zipped, tmp_path):
    path = zipped(**SOFTMAX)
    first = open_course(path)
    assert first.find("softmax").folder.is_relative_to(tmp_path / "cache")
    assert open_course(path).find("softmax").folder == first.find("softmax").folder
    other = open_course(zipped(**{"softmax/exercise.toml": examples.TOML.replace("Cubes", "Softmax")}))
    assert other.find("softmax").title == "Softmax" and other.find("softmax").folder != first.find("softmax").folder
    assert len(list((tmp_path / "cache" / "courses").iterdir())) == 2


def test_names_that_lead_out_of_the_folder_stay_in_it(zipped, tmp_path):
    out = {"../../../out.txt": "x", "/abs/out.txt": "x", "softmax/../../out.txt": "x"}
    course = open_course(zipped(**SOFTMAX, **out))
    assert course.find("softmax") and not (tmp_path / "out.txt").exists()
    kept = course.find("softmax").folder.parent
    assert all(each.resolve().is_relative_to(kept) for each in kept.rglob("*"))
    assert not [each for each in tmp_path.rglob("out.txt") if not each.is_relative_to(kept)]


def test_a_link_in_a_zip_is_a_file_with_its_text(tmp_path):
    path = tmp_path / "linked.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("softmax/solution.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("softmax/exercise.toml", examples.TOML)
    solution = open_course(path).find("softmax").folder / "solution.py"
    assert not solution.is_symlink() and solution.read_text() == "/etc/passwd"


def test_a_zip_that_grows_too_large_or_has_too_many_files_is_refused(zipped, monkeypatch):
    bomb = zipped(**SOFTMAX, **{"softmax/zeros": "0" * 10_000_000})
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(courses, "_LARGEST", 1_000_000)
    with pytest.raises(UserError, match=r"unpacks to more than a course needs \(2 files\)"):
        open_course(bomb)
    monkeypatch.setattr(courses, "_MOST_FILES", 3)
    with pytest.raises(UserError, match=r"unpacks to more than a course needs \(5 files\)"):
        open_course(zipped(**{f"{i}/exercise.toml": "" for i in range(5)}))
    monkeypatch.setattr(courses, "_LARGEST", 50)
    with pytest.raises(UserError, match="has more bytes than a course needs"):
        open_course(zipped(**SOFTMAX))


def test_what_is_no_zip_is_told_and_nothing_of_it_is_kept(zipped, tmp_path):
    whole = zipped(**SOFTMAX, **{"softmax/more": os.urandom(3000)}).read_bytes()
    spoilt = [b"", b"PK", b"not a zip" * 99, whole[:-30], whole[: len(whole) // 2]]
    spoilt += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 97)]
    for data in spoilt:
        path = tmp_path / "spoilt.zip"
        path.write_bytes(data)
        try:
            open_course(path)
        except UserError as error:
            assert str(path) in str(error) or "exercise.toml" in str(error)
    assert not [each for each in (tmp_path / "cache" / "courses").iterdir() if "." in each.name]


def test_a_name_that_is_a_file_and_a_folder_is_told(zipped):
    with pytest.raises(UserError, match="is damaged"):
        open_course(zipped(**{"softmax": "a file", "softmax/exercise.toml": examples.TOML}))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_no_course_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UserError, match="is neither a folder nor a file"):
        open_course(tmp_path / "pipe.zip")
