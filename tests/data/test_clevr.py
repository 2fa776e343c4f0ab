"""CLEVR's files, whole and damaged."""

import json

import pytest

from scratchlv.data.clevr import clevr
from scratchlv.data.picture_questions import Question
from scratchlv.errors import UserError

PROGRAMS = {
    "query_color": "query attribute",
    "equal_size": "compare attribute",
    "less_than": "compare integer",
    "count": "count",
    "exist": "exist",
}


def questions(part, key="function"):
    found = []
    for k, function in enumerate(PROGRAMS):
        question = {"question_index": 10 + k, "image_index": k // 2, "image_filename": f"CLEVR_{part}_{k // 2:06}.png"}
        question |= {"question": f"What is {k}; the cube?", "split": part}
        if part != "test":
            steps = [(name, []) for name in ("scene", function)]
            question |= {"answer": f"a{k}", "program": [{key: n, "inputs": i, "value_inputs": []} for n, i in steps]}
        found.append(question)
    return {"info": {}, "questions": found}


@pytest.fixture(params=["function", "type"])
def folder(request, tmp_path):
    tmp_path = tmp_path / "CLEVR_v1.0"
    (tmp_path / "questions").mkdir(parents=True)
    for part in ("train", "val", "test"):
        content = questions(part, request.param)
        (tmp_path / "questions" / f"CLEVR_{part}_questions.json").write_text(json.dumps(content))
        (tmp_path / "images" / part).mkdir(parents=True)
        for question in content["questions"]:
            (tmp_path / "images" / part / question["image_filename"]).touch()
    return tmp_path


def test_questions_know_their_type(folder):
    splits = clevr(folder).splits
    image = folder / "images" / "val" / "CLEVR_val_000000.png"
    assert splits["val"][0] == Question(
        image, ["what", "is", "0", "the", "cube"], "a0", ("a0",), 10, "query_color", "query attribute"
    )
    assert {q.type: q.group for q in splits["train"]} == PROGRAMS
    assert [(q.answer, q.answers, q.group) for q in splits["test"]] == [("", (), "")] * 5


def test_missing_parts(folder):
    questions = folder / "questions"
    (questions / "CLEVR_test_questions.json").unlink()
    assert set(clevr(folder).splits) == {"train", "val"}
    (questions / "CLEVR_val_questions.json").unlink()
    with pytest.raises(UserError, match=r"questions has no CLEVR_val_questions\.json"):
        clevr(folder)
    with pytest.raises(UserError, match=rf"has no folder questions/; give clevr:{folder}"):
        clevr(folder.parent)
    with pytest.raises(UserError, match=r"images has no folder questions/; copy it there"):
        clevr(folder / "images")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        clevr(folder / "nowhere")


def test_missing_pictures_are_named_or_skipped(folder):
    (folder / "images" / "train" / "CLEVR_train_000001.png").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 9 pictures \(images/train/CLEVR_train_000001\.png\)"):
        clevr(folder)
    assert clevr(folder, skip_missing=True).skipped == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.append(3), r"questions\[5\] needs an 'image_filename'"),
        (lambda q: q[1].update(image_filename="../a.png"), r"questions\[1\] needs an 'image_filename'"),
        (lambda q: q[1].update(question=" ? "), r"questions\[1\] needs an 'image_filename' and a 'question'"),
        (lambda q: q[1].pop("answer"), r"questions\[1\] has no 'answer'"),
        (lambda q: q.clear(), r"has no list 'questions' of CLEVR's; give another"),
    ],
)
def test_every_way_to_be_wrong(folder, change, message):
    file = folder / "questions" / "CLEVR_train_questions.json"
    content = json.loads(file.read_text())
    change(content["questions"])
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"CLEVR_train_questions\.json:? " + message):
        clevr(folder)


def test_scenes_given_as_questions(folder):
    file = folder / "questions" / "CLEVR_train_questions.json"
    file.write_text(json.dumps([{"question_id": 3, "answer": "yes"}]))
    with pytest.raises(UserError, match="has no list 'questions' of CLEVR's: it looks like results in VQA's format"):
        clevr(folder)
