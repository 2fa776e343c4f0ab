"""VQA's files, of version 1 and 2, whole and damaged."""

import gzip
import json

import pytest

from scratchlv.data.picture_questions import Question
from scratchlv.data.vqa import vqa
from scratchlv.errors import UserError


def asked(*images, part="train2014", each=2):
    return {
        "data_subtype": part,
        "questions": [
            {"question_id": 1000 * i + k, "image_id": i, "question": f"What is {k}?"}
            for i in images
            for k in range(each)
        ],
    }


def answered(questions):
    return {
        "annotations": [
            {
                "question_id": q["question_id"],
                "image_id": q["image_id"],
                "question_type": "what is",
                "answer_type": "other",
                "multiple_choice_answer": f"answer {q['image_id']}",
                "answers": [
                    {"answer_id": a, "answer": f"answer {q['image_id'] if a < 8 else a}", "answer_confidence": "yes"}
                    for a in range(10)
                ],
            }
            for q in questions["questions"]
        ]
    }


def write(folder, part, questions, annotations=True, images=True):
    (folder / f"v2_OpenEnded_mscoco_{part}_questions.json").write_text(json.dumps(questions))
    if annotations:
        (folder / f"v2_mscoco_{part}_annotations.json").write_text(json.dumps(answered(questions)))
    below = folder / "images" / part.replace("-dev", "")
    below.mkdir(parents=True, exist_ok=True)
    for question in questions["questions"] if images else ():
        (below / f"COCO_{below.name}_{question['image_id']:012}.jpg").touch()


def read(folder, images="images", part="train2014", **options):
    questions = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
    return vqa(questions, folder / f"v2_mscoco_{part}_annotations.json", folder / images, **options)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "train2014", asked(3, 1))
    write(tmp_path, "val2014", asked(2, part="val2014"))
    return tmp_path


@pytest.mark.parametrize("images", ["images", "images/train2014"])
def test_questions(folder, images):
    data = read(folder, images)
    image = folder / "images" / "val2014" / "COCO_val2014_000000000002.jpg"
    answers = ("answer 2",) * 8 + ("answer 8", "answer 9")
    assert data.splits["val"] == [
        Question(image, ["what", "is", str(k)], "answer 2", answers, 2000 + k, "what is", "other") for k in (0, 1)
    ]
    assert [q.id for q in data.splits["train"]] == [3000, 3001, 1000, 1001]
    assert (data.skipped, data.notes) == (0, ())


def test_questions_without_answers(folder):
    write(folder, "test2015", asked(8, part="test2015"), annotations=False)
    write(folder, "test-dev2015", asked(8, part="test-dev2015", each=1), annotations=False)
    splits = read(folder).splits
    image = folder / "images" / "test2015" / "COCO_test2015_000000000008.jpg"
    assert splits["test-dev"] == [Question(image, ["what", "is", "0"], "", (), 8000)]
    assert len(splits["test"]) == 2


def test_other_names_of_pictures_in_one_folder(folder):
    for file in [*(folder / "images").glob("*/*.jpg")]:
        file.rename(folder / "images" / f"{int(file.stem[-12:]):012}.png")
    for part in ("train2014", "val2014"):
        (folder / "images" / part).rmdir()
    assert {q.image.name for several in read(folder).splits.values() for q in several} == {
        f"{i:012}.png" for i in (1, 2, 3)
    }


def test_packed_files(folder):
    for file in [*folder.glob("*.json")]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    questions, annotations = (
        folder / f"v2_{part}_train2014_{kind}.json.gz"
        for part, kind in (("OpenEnded_mscoco", "questions"), ("mscoco", "annotations"))
    )
    assert set(vqa(questions, annotations, folder / "images").splits) == {"train", "val"}


def test_without_a_validation_part_it_is_cut_by_picture(tmp_path):
    write(tmp_path, "train2014", asked(*range(20)))
    data = read(tmp_path)
    images = {split: {q.image for q in questions} for split, questions in data.splits.items()}
    assert {split: len(found) for split, found in images.items()} == {"train": 16, "val": 2, "test": 2}
    assert len(set().union(*images.values())) == 20
    assert "by chance" in data.notes[0]


def test_missing_pictures_are_named_or_skipped(folder):
    (folder / "images" / "train2014" / "COCO_train2014_000000000003.jpg").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 3 pictures \(train2014/COCO_train2014_000000000003\.jpg\)"):
        read(folder)
    data = read(folder, skip_missing=True)
    assert (data.skipped, [q.id for q in data.splits["train"]]) == (2, [1000, 1001])


def test_half_of_the_validation_part(folder):
    (folder / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(UserError, match=r"val2014_questions\.json has no counterpart beside it"):
        read(folder)


def test_annotations_without_a_question_are_named_and_passed_over(folder):
    file = folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    found = json.loads(file.read_text())
    dropped = found["questions"].pop()["question_id"]
    file.write_text(json.dumps(found))
    (note,) = read(folder).notes
    assert note == (
        "v2_mscoco_val2014_annotations.json has 1 annotations of questions that v2_OpenEnded_mscoco_val2014_questions.json "
        f"does not have ({dropped}); they are passed over"
    )


def test_the_two_files_exchanged(folder):
    questions, annotations = (
        folder / f"v2_{kind}.json" for kind in ("OpenEnded_mscoco_train2014_questions", "mscoco_train2014_annotations")
    )
    with pytest.raises(
        UserError, match=r"annotations\.json has no list 'questions'.*: it looks like annotations of VQA"
    ):
        vqa(annotations, questions, folder / "images")
    with pytest.raises(UserError, match=r"questions\.json has no list 'annotations'.*: it looks like questions of VQA"):
        vqa(questions, questions, folder / "images")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        vqa(questions, annotations, folder / "nowhere")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("questions", lambda q: q.append(3), r"questions\[4\] needs a 'question_id'"),
        ("questions", lambda q: q[1].update(question_id=3000), r"questions\[1\] needs a 'question_id' of its own"),
        ("questions", lambda q: q[1].update(image_id="3"), r"questions\[1\] needs"),
        ("questions", lambda q: q[1].update(question="?"), r"questions\[1\] needs"),
        (
            "questions",
            lambda q: q[1].update(image_id=1),
            r"1 questions are about another picture \(3001\) in .*annotations",
        ),
        ("annotations", lambda a: a.pop(), r"1 questions have no annotation \(1001\) in .*give two files that belong"),
        ("annotations", lambda a: a[1].update(answers=[]), r"annotations\[1\] needs"),
        ("annotations", lambda a: a[1].update(answers=[{"answer": 3}]), r"annotations\[1\] needs"),
        ("annotations", lambda a: a[1].pop("multiple_choice_answer"), r"annotations\[1\] needs"),
        ("annotations", lambda a: a.append("x"), r"annotations\[4\] needs"),
    ],
)
def test_every_way_to_be_wrong(folder, kind, change, message):
    (file,) = folder.glob(f"*train2014_{kind}.json")
    content = json.loads(file.read_text())
    change(content[kind])
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read(folder)
