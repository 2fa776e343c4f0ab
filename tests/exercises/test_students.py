"""Whose folder is whose, and which file is which exercise, in folders that nobody has tidied."""

import os

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import students as students_module
from scratchlv.exercises.students import find, read_bounded, students


@pytest.fixture
def exercises(small_course):
    return list(small_course)


def put(folder, name, text="x = 1\n"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")


# --- whose folder -------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_folders_holds_students(tmp_path, exercises):
    for name in ("ada", "bob", "no work"):
        (tmp_path / "class" / name).mkdir(parents=True)
    put(tmp_path / "class", "ada/01_near.py")
    put(tmp_path / "class", ".git/01_near.py")
    put(tmp_path / "class", "readme.txt")
    found, said = students([tmp_path / "class"], exercises)
    assert [each.name for each in found] == ["ada", "bob", "no work"]
    assert said == [f"{tmp_path / 'class'} holds 3 folders: each is taken for a student's"]


def test_a_folder_with_an_exercise_in_it_is_a_students(tmp_path, exercises):
    put(tmp_path / "ada", "01_near.py")
    put(tmp_path / "ada", "old/01_near.py")
    found, said = students([tmp_path / "ada"], exercises)
    assert [each.name for each in found] == ["ada"]
    assert said == [f"{tmp_path / 'ada'} is taken for one student's folder"]


def test_each_of_several_folders_is_a_students_wherever_the_files_are_in_it(tmp_path, exercises):
    put(tmp_path / "ada", "01_near.py")
    put(tmp_path / "bob", "work/01_near.py")
    (tmp_path / "cleo").mkdir()
    found, said = students([tmp_path / name for name in ("bob", "ada", "cleo", "ada")], exercises)
    assert [each.name for each in found] == ["ada", "bob", "cleo"]
    assert not said


def test_of_several_folders_one_may_hold_students(tmp_path, exercises):
    for name in ("group/ada", "group/bob", "cleo"):
        put(tmp_path / name, "01_near.py")
    found, said = students([tmp_path / "group", tmp_path / "cleo"], exercises)
    assert [each.name for each in found] == ["ada", "bob", "cleo"]
    assert "group holds 2 folders" in said[0]


def test_two_students_of_one_name_are_told_apart(tmp_path, exercises):
    for name in ("monday/ada", "monday/bob", "friday/ada", "friday/cleo"):
        put(tmp_path / name, "01_near.py")
    found, _ = students([tmp_path / "monday", tmp_path / "friday"], exercises)
    assert [each.name for each in found] == ["bob", "cleo", "friday/ada", "monday/ada"]


def test_what_is_no_folder_is_refused(tmp_path, exercises):
    put(tmp_path, "01_near.py")
    with pytest.raises(UserError, match="there is no such folder"):
        students([tmp_path / "gone"], exercises)
    with pytest.raises(UserError, match="is a file: give the folder that it is in"):
        students([tmp_path / "01_near.py"], exercises)


def test_too_many_folders_are_no_class(tmp_path, exercises, monkeypatch):
    monkeypatch.setattr(students_module, "MOST_STUDENTS", 3)
    for i in range(5):
        (tmp_path / "class" / str(i)).mkdir(parents=True)
    with pytest.raises(UserError, match="holds more than 3 folders"):
        students([tmp_path / "class"], exercises)


# --- which file ----------------------------------------------------------------------------------------------------------


def test_a_file_is_found_by_its_name_the_nearest_to_the_top_first(tmp_path, exercises):
    put(tmp_path, "a/b/01_near.py")
    put(tmp_path, "z/01_near.py")
    put(tmp_path, "02_FAR.py")
    found = find(tmp_path, exercises)
    assert found.files == {"near": tmp_path / "z/01_near.py", "far": tmp_path / "02_FAR.py"}
    assert found.notes == ["a/b/01_near.py is not graded: z/01_near.py is"]


def test_a_file_that_was_renamed_is_found_by_its_first_line(tmp_path, exercises):
    near, far = exercises
    put(tmp_path, "my solution.py", near.stub)
    put(tmp_path, "02_far.py", far.stub)
    put(tmp_path, "02_far.py.kept-1", far.stub)
    found = find(tmp_path, exercises)
    assert found.files == {"near": tmp_path / "my solution.py", "far": tmp_path / "02_far.py"}
    assert found.notes == ["my solution.py is taken for near, by its first line"]


def test_of_several_that_were_renamed_the_one_saved_last_counts(tmp_path, exercises):
    for name, time in (("old.py", 1e9), ("new.py", 2e9), ("older.py", 5e8)):
        put(tmp_path, name, exercises[0].stub)
        os.utime(tmp_path / name, (time, time))
    found = find(tmp_path, exercises)
    assert found.files == {"near": tmp_path / "new.py"}
    assert found.notes == ["new.py is taken for near, by its first line: of 3, it was saved last"]


def test_another_version_and_another_exercise_in_the_first_line_are_told(tmp_path, exercises):
    near, far = exercises
    put(tmp_path, near.file_name, near.stub.replace("version 1", "version 7"))
    put(tmp_path, far.file_name, near.stub)
    assert find(tmp_path, exercises).notes == [
        "01_near.py was begun from version 7, and 1 is the one now",
        "02_far.py is graded as far; its first line says near",
    ]


def test_a_huge_folder_is_not_walked_through(tmp_path, exercises, monkeypatch):
    monkeypatch.setattr(students_module, "MOST_ENTRIES", 20)
    for i in range(50):
        put(tmp_path, f"data{i}.bin")
    put(tmp_path, "01_near.py")
    looked_at = []
    scandir = os.scandir

    class Counted:
        def __init__(self, folder):
            self.entries = scandir(folder)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            for entry in self.entries:
                looked_at.append(entry)
                yield entry

    monkeypatch.setattr(students_module.os, "scandir", Counted)
    found = find(tmp_path, exercises)
    assert found.files == {"near": tmp_path / "01_near.py"}  # wherever in the folder's order it stands
    assert len(looked_at) == 21
    assert found.notes == ["more than 20 files: only so many were looked at, and the names at the top"]


def test_links_are_not_followed_so_that_a_loop_has_no_end_to_look_for(tmp_path, exercises):
    put(tmp_path / "other", "01_near.py")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "loop").symlink_to(tmp_path / "ada", target_is_directory=True)
    (tmp_path / "ada" / "others").symlink_to(tmp_path / "other", target_is_directory=True)
    assert find(tmp_path / "ada", exercises).files == {}


def test_a_folder_named_like_an_exercise_is_looked_into(tmp_path, exercises):
    put(tmp_path, "work/01_near.py/01_near.py")
    assert find(tmp_path, exercises).files == {"near": tmp_path / "work/01_near.py/01_near.py"}


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(tmp_path, exercises):
    put(tmp_path, "locked/01_near.py")
    (tmp_path / "locked").chmod(0)
    try:
        assert find(tmp_path, exercises).notes == ["locked cannot be read: Permission denied"]
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_only_the_beginning_of_a_file_is_read_and_of_nothing_else(tmp_path):
    put(tmp_path, "long.py", "x" * 1000)
    (tmp_path / "link.py").symlink_to(tmp_path / "long.py")
    assert read_bounded(tmp_path / "long.py", 10) == b"x" * 10
    with pytest.raises(UserError, match=r"link\.py is a link: the file itself is wanted"):
        read_bounded(tmp_path / "link.py", 10)
    with pytest.raises(UserError, match="is no file"):
        read_bounded(tmp_path, 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, exercises):
    os.mkfifo(tmp_path / "01_near.py")
    os.mkfifo(tmp_path / "other.py")
    assert find(tmp_path, exercises).files == {"near": tmp_path / "01_near.py"}
    with pytest.raises(UserError, match="is no file"):
        read_bounded(tmp_path / "01_near.py", 10)
