"""bAbI's files, whole and damaged."""

import gzip
from pathlib import Path

import pytest

from scratchlv.data.babi import Story, babi, tasks
from scratchlv.errors import UserError

STORY = """\
1 Mary moved to the bathroom.
2 John's cat slept.
3 Where is Mary? \tbathroom\t1
4 Mary took the milk.
5 What is Mary carrying?\tmilk,football\t1 4
"""


def write(folder: Path, task: str, text: str) -> Path:
    path = folder / f"qa{task}_train.txt"
    path.write_text(text)
    return path


def test_a_story(tmp_path):
    write(tmp_path, "2_two-facts", STORY * 2)
    told = [["mary", "moved", "to", "the", "bathroom"], ["john's", "cat", "slept"]]
    questions = [
        Story(told, ["where", "is", "mary"], "bathroom", (0,)),
        Story([*told, ["mary", "took", "the", "milk"]], ["what", "is", "mary", "carrying"], "milk,football", (0, 2)),
    ]
    assert babi(tmp_path, 2) == {"train": questions, "val": questions}


def test_the_last_tenth_of_the_stories_validates(tmp_path):
    stories = [f"1 It is {i}.\n2 What is it?\t{i}\t1\n3 Really?\t{i}\t1\n" for i in range(39)]
    write(tmp_path, "1_x", "".join(stories))
    (tmp_path / "qa1_x_test.txt").write_text(stories[5])
    splits = babi(str(tmp_path), "1")
    assert [story.answer for story in splits["train"]] == [str(i) for i in range(36) for _ in "??"]
    assert [story.answer for story in splits["val"]] == [str(i) for i in range(36, 39) for _ in "??"]
    assert [story.answer for story in splits["test"]] == ["5", "5"]


def test_the_tasks_that_are_there_and_those_that_are_missing(tmp_path):
    for number in (10, 1, 20, 3):
        write(tmp_path, f"{number}_x", STORY)
    there, missing = tasks(tmp_path)
    assert there == (1, 3, 10, 20)
    assert sorted(there + missing) == list(range(1, 21))
    with pytest.raises(UserError, match="is not a folder"):
        tasks(tmp_path / "absent")


@pytest.mark.parametrize("task", [2, "3", "x", "", "1_x", -1])
def test_an_unknown_task(tmp_path, task):
    for number in (10, 1, 20):
        write(tmp_path, f"{number}_x", STORY)
    with pytest.raises(UserError, match=rf"no training file of bAbI task {task}; the tasks there are: 1, 10, 20$"):
        babi(tmp_path, task)


@pytest.mark.parametrize("packed", [True, False])
def test_a_validation_part_of_its_own(tmp_path, packed):
    """The files of en-valid have other names, and one of them is valid."""
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    for part, room in (("train", "hall"), ("valid", "garden"), ("test", "kitchen")):
        text = f"1 Mary went to the {room}.\n2 Where is Mary?\t{room}\t1\n".encode()
        (tmp_path / f"qa11_{part}.txt{suffix}").write_bytes(pack(text))
    splits = babi(tmp_path, 11)
    assert {part: [story.answer for story in several] for part, several in splits.items()} == {
        "train": ["hall"],
        "val": ["garden"],
        "test": ["kitchen"],
    }
    (tmp_path / f"qa11_valid.txt{suffix}").write_bytes(b"")
    with pytest.raises(UserError, match=r"qa11_valid\.txt.* has no question; copy it again"):
        babi(tmp_path, 11)


def test_the_folder_above_names_those_that_have_tasks(tmp_path):
    for name in ("en-valid", "en", "docs"):
        (tmp_path / name).mkdir()
    write(tmp_path / "en", "1_x", STORY)
    write(tmp_path / "en-valid", "1", STORY)
    with pytest.raises(UserError, match=r"has its tasks in folders; give one of them, as babi:.*en:1: en, en-valid$"):
        babi(tmp_path, 1)


def test_missing_parts(tmp_path):
    with pytest.raises(UserError, match="the tasks there are: none"):
        babi(tmp_path, 1)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        babi(tmp_path / "nowhere", 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Mary moved.", "expected a line that begins 1 or 6, found 'Mary moved.'"),
        ("7 Mary moved.", "expected a line that begins 1 or 6"),
        ("5 Mary moved.", "expected a line that begins 1 or 6"),
        ("9" * 5000 + " Mary moved.", "expected a line that begins 1 or 6"),
        ("6", "expected a line that begins 1 or 6"),
        ("6 ...", "a statement without words"),
        ("6 Where is Mary?\tbathroom", "expected question<TAB>answer<TAB>line numbers"),
        ("6 Where is Mary?\tbathroom\tone", "expected question<TAB>answer<TAB>line numbers"),
        ("6 Where is Mary?\t \t1", "expected question<TAB>answer<TAB>line numbers"),
        ("6 ?\tbathroom\t1", "expected question<TAB>answer<TAB>line numbers"),
        ("6 Where is Mary?\tbathroom\t1\t2", "expected question<TAB>answer<TAB>line numbers"),
        ("6 Where is Mary?\tbathroom\t1 3", "line 3 of this story is no statement"),
        ("6 Where is Mary?\tbathroom\t7", "line 7 of this story is no statement"),
        ("6 Where is Mary?\tbathroom\t0", "line 0 of this story is no statement"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    write(tmp_path, "1_x", STORY + "\n" + STORY + line + "\n" + STORY)
    with pytest.raises(UserError, match=rf"qa1_x_train\.txt line 12: {message}"):
        babi(tmp_path, 1)


def test_lines_of_the_story_before_support_nothing(tmp_path):
    write(tmp_path, "1_x", STORY + "1 Mary moved to the park.\n2 Where is Mary?\tpark\t4\n")
    with pytest.raises(UserError, match=r"line 7: line 4 of this story is no statement"):
        babi(tmp_path, 1)


def test_a_file_that_does_not_begin_at_1(tmp_path):
    write(tmp_path, "1_x", STORY[STORY.index("2 John") :])
    with pytest.raises(UserError, match=r'line 1: expected a line that begins 1, found "2 John'):
        babi(tmp_path, 1)


@pytest.mark.parametrize("text", ["", STORY, STORY + "1 No question here.\n"])
def test_too_few_stories(tmp_path, text):
    write(tmp_path, "1_x", text)
    with pytest.raises(UserError, match=r"qa1_x_train\.txt has [01] stories"):
        babi(tmp_path, 1)


@pytest.mark.parametrize("task", range(1, 11))
def test_the_real_set(task, public_set):
    splits = babi(public_set("babi"), task)
    assert len(splits["train"]) + len(splits["val"]) == 1000 and len(splits["test"]) == 1000
    if task != 8:  # which has one list of things that is never the answer in training
        assert {s.answer for s in splits["val"] + splits["test"]} <= {s.answer for s in splits["train"]}
    if task == 1:  # the one supporting fact: the person who is asked for moved to the answer
        for story in splits["train"]:
            fact = story.sentences[story.supporting[0]]
            assert (fact[0], fact[-1]) == (story.question[-1], story.answer)
