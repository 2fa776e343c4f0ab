"""Visual question answering as a task: its data, its figures beside the baselines, and any question about any picture."""

import json
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scratchlv.data import scenes as scenes_world
from scratchlv.data.question_set import QuestionSet
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.tasks import backbone, question_answering, records, training

SMALL = ["steps=2", "batch=4", "warmup=1", "hidden=16", "embedding=8", "blind_steps=2"]
MODELS = ("attention", "glimpses", "naive", "memory")


def config(model="attention", data="scenes", more=(), **options):
    size = (
        ["n_train=20", "n_val=10", *([] if "encoder" in options else ["encoder_steps=2"])] if data == "scenes" else []
    )
    size += ["attention=8"] if model in ("attention", "glimpses") else []
    return question_answering.config("vqa", data, model, "quick", 0, [*SMALL, *size, *more], **options)


def made(folder, *arguments, **options):
    """A run that was never trained; where it is of scenes, the eyes in ``folder`` were, a little."""
    run = question_answering.prepare(config(*arguments, **options), None, False, lambda line: None, folder).run
    run.folder = folder
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vqa"
    training.train(folder, config(), show_progress=False, say=lambda line: None)
    return training.load(folder, "vqa")


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_a_run_that_was_asked_for_what_is_no_longer_there():
    """Where it did nothing, nothing is missing."""
    asked = records.to_json(config().settings)
    gone = {"query": "question", "shared_hops": False, "frequencies": 0}
    assert records.from_json(question_answering.Settings, asked | gone) == config().settings
    with pytest.raises(ValueError, match="'query' is not known"):
        records.from_json(question_answering.Settings, asked | gone | {"query": "words"})


# --- figures -----------------------------------------------------------------------------------------------------


def test_who_answers_right_is_right_in_every_type(trained, monkeypatch):
    monkeypatch.setattr(QuestionSet, "predict", lambda data, model, size=200, most=None: data.answers)
    figures = question_answering.evaluate(trained)
    assert figures["accuracy"] == figures["question_only_accuracy"] == 1
    for name in ("by_type", "by_hops", "question_only_by_type", "question_only_by_hops"):
        assert figures[name]
        assert set(figures[name].values()) == {1.0}
    assert set(figures["by_type"]) <= set(scenes_world.TEMPLATES)
    assert set(figures["by_hops"]) <= {"1", "2", "3"}


def test_the_prior_is_the_commonest_answer_to_questions_of_that_type(trained):
    train, val = (trained.dataset(split) for split in ("train", "val"))
    counts = {}
    for question in train.truth:
        counts.setdefault(question.template, Counter())[question.answer] += 1
    right = 0
    for question in val.truth:
        (_, most), *_ = counts[question.template].most_common(1)
        commonest = [a for a, n in counts[question.template].items() if n == most]
        if len(commonest) == 1:
            right += question.answer == commonest[0]
        else:  # the first answer in the list wins
            right += question.answer == min(commonest, key=scenes_world.ANSWERS.index)
    assert question_answering.evaluate(trained)["prior_accuracy"] == right / len(val.truth)


def test_the_twin_that_reads_only_the_question_sees_nothing(trained):
    twin = question_answering._blind_twin(trained, trained.folder)
    data = trained.dataset("val")
    shuffled = QuestionSet(
        data.pictures[::-1].copy(),
        data.questions,
        data.picture_of,
        data.answers,
        data.vocabulary,
        data.answer_names,
        [],
    )
    assert (data.predict(twin) == shuffled.predict(twin)).all()
    assert twin.params.keys() < trained.model.params.keys()


def test_the_figures_of_every_model(image, tmp_path):
    for model in MODELS:
        run = made(tmp_path / model, model, more=[] if model == "naive" else ["hops=2"])
        figures = question_answering.evaluate(run, "compositional", n=3)
        assert 0 <= figures["accuracy"] <= 1
        assert figures["n"] == len(run.dataset("compositional", 3).answers)
        assert "question_only_accuracy" not in figures  # there is no twin yet
        told = question_answering.answer(run, image, "what colour is the star")
        if model == "naive":
            assert told.alphas is None
            with pytest.raises(UserError, match="--model attention"):
                question_answering.picture(told)
        else:
            assert told.alphas.shape == (4 if model == "glimpses" else 2, 8, 8)
            assert told.looks[-1] == ("glimpse 2, hop 2" if model == "glimpses" else "hop 2")
            assert question_answering.picture(told).size[0] > told.image.shape[1]
            np.testing.assert_allclose(told.alphas.sum(axis=(1, 2)), 1, atol=1e-4)
            assert question_answering.picture(told).width > 300


def test_splits_and_counts_that_are_not_there(trained):
    with pytest.raises(UserError, match="--split nonsense"):
        question_answering.evaluate(trained, "nonsense")
    with pytest.raises(UserError, match="--n 0"):
        question_answering.evaluate(trained, n=0)


# --- any question about any picture ----------------------------------------------------------------------------------


def test_the_answers_are_the_five_most_likely(trained, image):
    told = question_answering.answer(trained, image, "How many stars are there?")
    assert len(told.answers) == len({name for name, _ in told.answers}) == 5
    chances = [p for _, p in told.answers]
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) <= 1
    assert told.question == ["how", "many", "stars", "are", "there", "?"]
    assert told.unknown == []


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (9, 80, 200)])
def test_a_picture_without_objects(trained, tmp_path, colour):
    Image.new("RGB", (64, 64), colour).save(tmp_path / "empty.png")
    told = question_answering.answer(trained, tmp_path / "empty.png", "what colour is the star?")
    assert told.notes == (f"{tmp_path / 'empty.png'} is of one colour all over: there is nothing to ask about",)
    assert np.isfinite(told.alphas).all()


def test_a_question_is_cut_as_the_data_was():
    scenes = Vocabulary(scenes_world.question_vocabulary_words())
    words = ["what", "colour", "is", "the", "star", "?"]
    for question in (
        "What colour is the star?",
        "what colour is the star ?",
        "what colour is the star",
        "WHAT colour is the star??",
    ):
        asked = question_answering.question_words(question, scenes)
        assert asked[:6] == words
    follow_up = "what shape is the red shape? what about the one left of it?"
    assert question_answering.question_words(follow_up, scenes).count("?") == 2
    photographs = Vocabulary(["what", "colour", "is", "the", "star"])
    assert question_answering.question_words("What colour, is the star?", photographs) == words[:5]


def test_unknown_words_and_none_at_all(trained, image):
    assert question_answering.answer(trained, image, "is the zorp a zorp or a blip?").unknown == ["blip", "or", "zorp"]
    with pytest.raises(UserError, match=r"the run knows no word of the question \(zorp, blip\)"):
        question_answering.answer(trained, image, "zorp blip?")
    with pytest.raises(UserError, match=r"the question has 10,000 words: give 1,000 at the most"):
        question_answering.answer(trained, image, "star " * 10_000)
    assert len(question_answering.answer(trained, image, "star " * 999).answers) == 5
    for empty in ("", "  ", "?!"):
        with pytest.raises(UserError, match="question is empty"):
            question_answering.answer(trained, image, empty)
    with pytest.raises(UserError, match=r"absent\.png"):
        question_answering.answer(trained, image.with_name("absent.png"), "what?")


# --- pictures in files -------------------------------------------------------------------------------------------


def without_weights(monkeypatch):
    """What makes features is stood in for."""
    monkeypatch.setattr(backbone, "pretrained", lambda config, fitted: None)
    monkeypatch.setattr(backbone, "extractor", lambda config, weights: None if config.backbone == "conv" else object())


def daquar(folder, n=30):
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for k in range(1, n + 1):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "images" / f"image{k}.png")
        lines += [f"what is left of the lamp in the image{k} ?", "chair, lamp" if k % 3 else "table"]
    (folder / "qa.train.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_of_several_answers_that_are_too_rare_together_the_first_is_learned(tmp_path, features):
    folder = daquar(tmp_path / "daquar")
    text = (folder / "qa.train.txt").read_text().split("\n")
    text[1:60:6] = ["chair"] * 10  # where a table was
    (folder / "qa.train.txt").write_text("\n".join(text))
    said: list[str] = []
    asked = config(data=f"daquar:{folder}", more=["answers=1"])
    run = question_answering.prepare(asked, None, False, said.append, tmp_path / "run").run
    run.folder = tmp_path / "run"
    assert run.fitted.answers in (("chair, lamp",), ("chair",))
    train, val = (run.dataset(split) for split in ("train", "val"))
    assert (val.answers == -1).any()
    assert (
        f"{(val.answers == -1).sum()} of {len(val.answers)} questions to validate on have an answer that cannot"
        in said[-1]
    )
    figures = question_answering.evaluate(run)
    assert figures["answers_out_of_vocabulary"] == (val.answers == -1).mean()
    assert figures["accuracy"] <= 1 - figures["answers_out_of_vocabulary"]


def test_photographs_in_a_mirror_are_for_training_alone(tmp_path, monkeypatch):
    """What was left of the lamp is right of it."""
    asked = []

    def features(paths, extractor, show_progress, what="photograph"):
        asked.append((what, len(paths)))
        return np.full((len(paths), 7, 7, 12), what.startswith("mirrored"), np.float32)

    monkeypatch.setattr(question_answering, "features_of", features)
    monkeypatch.setattr(question_answering, "Mirrored", lambda extractor: extractor)
    without_weights(monkeypatch)
    folder = daquar(tmp_path / "daquar")
    text = (folder / "qa.train.txt").read_text()
    (folder / "qa.train.txt").write_text(
        text.replace("left of the lamp in the image5", "right of the lamp in the image5")
    )
    run = made(tmp_path / "run", data=f"daquar:{folder}", more=["mirror=true"])
    train, val = (run.dataset(split) for split in ("train", "val"))
    n = len(train.pictures)
    assert asked == 2 * [("photograph", n), ("mirrored photograph", n), ("photograph", len(val.pictures))]
    assert val.in_mirror is None
    assert train.in_mirror.pictures.all()
    words = [run.vocabulary.decode(question) for question in train.in_mirror.questions]
    assert sorted(map(" ".join, words)) == ["what is left of the lamp"] + ["what is right of the lamp"] * (n - 1)
    np.testing.assert_array_equal(train.in_mirror.answers, train.answers)
    assert made(tmp_path / "other", data=f"daquar:{folder}").dataset("train").in_mirror is None


def test_pairs_of_words_that_are_asked_with_often_enough(tmp_path, features):
    """Those of one question alone are not; of a question in a mirror they are counted as well."""
    folder = daquar(tmp_path / "daquar")
    text = (folder / "qa.train.txt").read_text()
    (folder / "qa.train.txt").write_text(text.replace("of the lamp in the image5", "of a lamp in the image5"))
    data = f"daquar:{folder}"
    runs = {n: made(tmp_path / str(n), data=data, more=[f"pairs={n}"]) for n in (0, 1, 2)}
    known = {n: {"_".join(pair_of(run, pair)) for pair in run.fitted.pairs} for n, run in runs.items()}
    assert known[0] == set()
    assert known[1] - known[2] == {"of_a", "a_lamp"}
    assert known[2] == {"<pad>_what", "what_is", "is_left", "left_of", "of_the", "the_lamp", "lamp_<pad>"}
    assert len(runs[2].model.params["pairs.P"]) == 7
    assert np.isfinite(question_answering.evaluate(runs[2])["loss"])
    with pytest.raises(UserError, match="pairs=99: no pair of words is asked with so often"):
        made(tmp_path / "x", data=data, more=["pairs=99"])


def pair_of(run, pair):
    return [run.vocabulary.words[token] for token in divmod(pair, len(run.vocabulary))]


def test_daquar_is_judged_by_wups_too(tmp_path, features, monkeypatch):
    run = made(tmp_path / "run", data=f"daquar:{daquar(tmp_path / 'daquar')}")
    monkeypatch.setattr(question_answering.wups, "wordnet_similarity", lambda: None)
    assert "pip install nltk" in question_answering.evaluate(run)["wups"]
    monkeypatch.setattr(question_answering.wups, "wordnet_similarity", lambda: lambda a, b: 0.5)
    said = ["lamp, chair", "chair", "sofa"]
    monkeypatch.setattr(QuestionSet, "texts", lambda data, predicted: said)
    figures = question_answering._wups(run, replace_asked(run.dataset("val")), np.zeros(3))
    # a chair alone leaves the lamp to be half right; of a sofa both are
    assert figures["wups@0.9"] == pytest.approx((1 + 0.05 + 0.0025) / 3)
    assert figures["wups@0.0"] == pytest.approx((1 + 0.5 + 0.25) / 3)


def replace_asked(data):
    """Three questions, each answered by a chair and a lamp."""
    three = [data.asked[0]._replace(answers=("chair", "lamp"))] * 3
    return replace(data, asked=three, answers=np.zeros(3, np.int64))


def test_missing_pictures_are_named_before_anything_is_written(tmp_path):
    folder = daquar(tmp_path / "daquar")
    (folder / "images" / "image7.png").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 30 pictures \(image7\).*--skip-missing"):
        training.train(tmp_path / "run", config(data=f"daquar:{folder}"), show_progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", MODELS)
def test_photographs_without_those_that_are_missing(tmp_path, monkeypatch, model):
    def features(paths, extractor, show_progress):
        assert all(path.exists() for path in paths)
        return np.random.default_rng(1).random((len(paths), 7, 7, 12), np.float32)

    monkeypatch.setattr(question_answering, "features_of", features)
    without_weights(monkeypatch)
    folder = daquar(tmp_path / "daquar")
    (folder / "images" / "image7.png").unlink()
    run = made(tmp_path / "run", model, data=f"daquar:{folder}", skip_missing=True)
    train, val = (run.dataset(split) for split in ("train", "val"))
    assert len(train.answers) + len(val.answers) == 29
    assert run.fitted.answers == ("chair, lamp", "table")
    assert not any("image7.png" in name for name in train.names + val.names)
    named = [train.names[k] for k in train.picture_of]
    assert named == sorted(named)  # the questions about one picture stand together
    figures = question_answering.evaluate(run)
    assert figures["prior_accuracy"] == np.mean(val.answers == 0)  # most of them are chairs
    assert "by_type" not in figures
    with pytest.raises(UserError, match="min_count=99: no answer"):
        made(tmp_path / "run", model, data=f"daquar:{folder}", skip_missing=True, more=["min_count=99"])


def test_questions_and_answers_that_do_not_match(tmp_path):
    folder = daquar(tmp_path / "daquar")
    with open(folder / "qa.train.txt", "a", encoding="utf-8") as file:
        file.write("what is on the table in the image3 ?\n")
    with pytest.raises(UserError, match=r"qa\.train\.txt has 61 lines, an odd number"):
        made(tmp_path / "run", data=f"daquar:{folder}")


# --- VQA and CLEVR ---------------------------------------------------------------------------------------------------


@pytest.fixture
def features(monkeypatch):
    def made_up(paths, extractor, show_progress):
        return np.random.default_rng(1).random((len(paths), 7, 7, 12), np.float32)

    monkeypatch.setattr(question_answering, "features_of", made_up)
    without_weights(monkeypatch)


def vqa(folder):
    """Twenty questions to train on, and four to validate on: two people in ten say something else, or "a red" for "red"."""
    folder.mkdir()
    for part, numbers in (("train2014", range(20)), ("val2014", range(20, 24)), ("test2015", range(30, 33))):
        (folder / "images" / part).mkdir(parents=True)
        questions, annotations = [], []
        for i in numbers:
            (folder / "images" / part / f"COCO_{part}_{i:012}.jpg").touch()
            of = {"question_id": 10 * i, "image_id": i}
            questions.append(of | {"question": "What colour is it?"})
            colour = "red" if i % 4 else "blue"
            answers = [{"answer": a} for a in [colour] * 8 + (["A red"] * 2 if i == 21 else ["pink"] * 2)]
            types = {"question_type": "what colour", "answer_type": "other" if i % 2 else "yes/no"}
            annotations.append(of | types | {"multiple_choice_answer": colour, "answers": answers})
        (folder / f"{part}_questions.json").write_text(json.dumps({"questions": questions}))
        if part != "test2015":
            (folder / f"{part}_annotations.json").write_text(json.dumps({"annotations": annotations}))
    return f"vqa:{folder / 'train2014_questions.json'}:{folder / 'train2014_annotations.json'}:{folder / 'images'}"


def test_vqa_is_judged_by_its_own_evaluation(tmp_path, features, monkeypatch):
    run = made(tmp_path / "run", data=vqa(tmp_path / "vqa"), more=["min_count=1"])
    assert run.fitted.answers == ("red", "blue")
    monkeypatch.setattr(QuestionSet, "predict", lambda data, model, size=200, most=None: np.zeros(4, np.int64))
    out = tmp_path / "results.json"
    figures = question_answering.evaluate(run, results=out)
    # of 20, 21, 22 and 23, the first is blue; "A red" is red where people do not agree
    assert figures["accuracy"] == figures["vqa_accuracy"] == figures["prior_vqa_accuracy"] == 3 / 4
    assert figures["by_type"] == {"yes/no": 0.5, "other": 1.0}
    assert json.loads(out.read_text()) == [{"question_id": 10 * i, "answer": "red"} for i in (20, 21, 22, 23)]


def test_what_only_some_say_is_half_right_in_vqa(tmp_path, features, monkeypatch):
    run = made(tmp_path / "run", data=vqa(tmp_path / "vqa"), more=["min_count=1"])
    monkeypatch.setattr(QuestionSet, "texts", lambda data, predicted: ["pink"] * 4)
    figures = question_answering.evaluate(run)
    assert figures["vqa_accuracy"] == pytest.approx((0.6 + 0 + 0.6 + 0.6) / 4)


def test_answers_that_are_secret(tmp_path, features):
    run = made(tmp_path / "run", data=vqa(tmp_path / "vqa"), more=["min_count=1"])
    with pytest.raises(UserError, match="--split test: its answers are not public; give --results"):
        question_answering.evaluate(run, "test")
    assert question_answering.evaluate(run, "test", results=tmp_path / "r.json") == {"n": 3}
    found = json.loads((tmp_path / "r.json").read_text())
    assert [item["question_id"] for item in found] == [300, 310, 320]
    assert {item["answer"] for item in found} <= {"red", "blue"}


def test_results_need_numbers(trained, tmp_path):
    with pytest.raises(UserError, match="--results is of VQA and CLEVR, .* not of scenes"):
        question_answering.evaluate(trained, results=tmp_path / "r.json")


def clevr(folder):
    for part, n in (("train", 12), ("val", 4), ("test", 2)):
        (folder / "images" / part).mkdir(parents=True)
        questions = []
        for i in range(n):
            name = f"CLEVR_{part}_{i:06}.png"
            (folder / "images" / part / name).touch()
            question = {"question_index": i, "image_index": i, "image_filename": name, "question": "Is it red?"}
            function = "exist" if i % 2 else "count"
            answer = {"answer": "yes" if i % 2 else "3", "program": [{"function": function, "inputs": []}]}
            questions.append(question | (answer if part != "test" else {}))
        (folder / "questions").mkdir(exist_ok=True)
        (folder / "questions" / f"CLEVR_{part}_questions.json").write_text(json.dumps({"questions": questions}))
    return f"clevr:{folder}"


def seen(paths, extractor, show_progress):
    """Features of files that are pictures: the colours of 7 by 7 places, and products of them."""
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((7, 7)), np.float32) / 255 for path in paths]
    x = np.stack(pictures)
    return np.concatenate([x, 1 - x, x**2, np.ones_like(x)], axis=3)


COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 50, 220), "yellow": (230, 220, 40)}


@pytest.mark.parametrize("kind", ["vqa", "clevr"])
def test_a_set_of_its_format_is_trained_on_and_judged_from_end_to_end(tmp_path, features, monkeypatch, kind):
    """What colour is it? Seen it is easy, and unseen a guess of four; the official evaluation says so."""
    monkeypatch.setattr(question_answering, "features_of", seen)
    folder = tmp_path / "set"
    data = (vqa if kind == "vqa" else clevr)(folder)
    names = list(COLOURS)
    for file in sorted(folder.glob("**/*.jpg")) + sorted(folder.glob("**/*.png")):
        i = int(file.stem[-6:])
        picture = np.full((28, 28, 3), 128, np.uint8)
        picture[8:20, 4 + i % 5 : 20] = COLOURS[names[i % 4]]
        Image.fromarray(picture).save(file, quality=95)
    for file in folder.glob("**/*.json"):
        text = json.loads(file.read_text())
        for item in text.get("annotations", []):
            colour = names[item["image_id"] % 4]
            item["multiple_choice_answer"] = colour
            item["answers"] = [{"answer": colour}] * 8 + [{"answer": "pink"}] * 2
        for item in text.get("questions", []) if kind == "clevr" else []:
            item |= {"question": "What colour is it?"}
            if "answer" in item:
                item |= {
                    "answer": names[item["image_index"] % 4],
                    "program": [{"function": "query_color", "inputs": []}],
                }
        file.write_text(json.dumps(text))
    more = [
        "steps=150",
        "blind_steps=20",
        "learning_rate=0.01",
        "hops=1",
        "answers=4",
        *(["min_count=1"] if kind == "vqa" else []),
    ]
    training.train(tmp_path / "run", config(data=data, more=more), show_progress=False, say=lambda line: None)
    run = training.load(tmp_path / "run", "vqa")
    figures = question_answering.evaluate(run)
    assert len(run.fitted.answers) == 4
    assert figures["accuracy"] == 1
    assert figures["question_only_accuracy"] <= 0.5
    if kind == "vqa":
        assert figures["vqa_accuracy"] == 1  # eight of ten said so
        assert figures["by_type"] == {"yes/no": 1, "other": 1}
    else:
        assert set(figures["by_type"]) == {"query attribute"}


def test_of_clevr_the_prior_is_that_of_the_function(tmp_path, features):
    run = made(tmp_path / "run", data=clevr(tmp_path / "clevr"), more=["hops=1"])
    figures = question_answering.evaluate(run)
    assert figures["prior_accuracy"] == 1
    assert set(figures["by_type"]) == {"count", "exist"}
    assert "vqa_accuracy" not in figures
    question_answering.evaluate(run, "test", results=tmp_path / "r.json")
    assert [item["question_id"] for item in json.loads((tmp_path / "r.json").read_text())] == [0, 1]


def test_a_file_of_questions_is_read_once_to_train(tmp_path, features, monkeypatch):
    reads, original = [], question_answering.read
    monkeypatch.setattr(question_answering, "read", lambda config: reads.append(1) or original(config))
    made(tmp_path / "run", data=vqa(tmp_path / "vqa"), more=["min_count=1"])
    assert len(reads) == 1


def test_the_package_easy_vqa_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(UserError, match="pip install easy-vqa"):
        made(tmp_path / "run", data="easy-vqa")


@pytest.mark.parametrize(
    ("model", "data", "setting", "reason"),
    [
        ("naive", "scenes", "hops=2", "--model naive"),
        ("naive", "scenes", "attention_loss=1", "--model naive"),
        ("memory", "scenes", "attention=8", "--model memory"),
        ("attention", "scenes", "min_count=2", "--data scenes"),
        ("attention", "easy-vqa", "questions=4", "--data easy-vqa"),
        ("attention", "easy-vqa", "n_train=4", "--data easy-vqa"),
        ("memory", "scenes", "label_smoothing=0.1", "--model memory"),
        ("memory", "scenes", "feature_dropout=0.1", "--model memory"),
        ("memory", "scenes", "pairs=2", "--model memory"),
        ("attention", "scenes", "mirror=true", "--data scenes"),
        ("attention", "easy-vqa", "mirror=true", "--data easy-vqa"),
    ],
)
def test_settings_that_do_nothing(model, data, setting, reason):
    with pytest.raises(UserError, match=f"{setting}: .* does nothing with {reason}; leave it out"):
        config(model, data, more=[setting])


def test_an_encoder_that_is_given_is_not_trained(tmp_path):
    with pytest.raises(UserError, match="encoder_steps=4: encoder_steps does nothing with --encoder"):
        config(encoder=tmp_path, more=["encoder_steps=4"])


def test_pictures_that_are_never_missing():
    for data in ("scenes", "easy-vqa"):
        with pytest.raises(UserError, match=f"--skip-missing goes with photographs; pictures of {data}"):
            config(data=data, skip_missing=True)
