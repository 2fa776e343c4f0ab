"""Captioning as a task: its data, its figures, and captions of any picture."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchlv.data import scenes as scenes_world
from scratchlv.data.karpathy import Karpathy
from scratchlv.decode import Generated
from scratchlv.errors import UserError
from scratchlv.tasks import backbone, captioning
from scratchlv.tokens import END, UNK

SMALL = ["batch=4", "n_train=12", "n_val=8", "hidden=16", "embedding=8"]
MODELS = ("attention", "hard-attention", "naive", "shortcut", "uniform")
LOOKING = ("attention", "hard-attention")


def made(model="attention", more=(), **options):
    """A run that was never trained."""
    config = captioning.config("caption", "scenes", model, "quick", 0, [*SMALL, *more], **options)
    return captioning.prepare(config, None, False, lambda line: None, Path()).run


@pytest.fixture(scope="module", params=MODELS)
def run(request):
    return made(request.param)


def saying(words_of, alpha):
    """A stand-in for ``Run.caption`` that says ``words_of(k)`` of the k-th picture and looks at ``alpha(k)`` (T, L)."""

    def caption(run, pictures, beam=1, size=100):
        found = []
        for k in range(len(pictures)):
            tokens = [*run.vocabulary.encode(words_of(k)), END]
            found.append(Generated(np.array(tokens), np.ones(len(tokens)), alpha(k, len(tokens)), 0.0))
        return found

    return caption


def nowhere(k, T):
    return None


def everywhere(k, T):
    return np.full((T, 64), 1 / 64)


def test_who_says_the_truth_has_all_of_it(monkeypatch):
    run = made()
    data = run.dataset("val")
    truth = [scenes_world.caption(scene).words for scene in data.scenes]
    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: truth[k], everywhere))
    figures = captioning.evaluate(run)
    assert figures["true_share"] == 1
    assert 0 < figures["pointing_chance"] < 0.5
    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: truth[k] if k % 4 == 0 else ["a"], everywhere))
    assert captioning.evaluate(run)["true_share"] == 0.25
    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: ["a"], everywhere))
    figures = captioning.evaluate(run)
    assert (figures["true_share"], figures["pointing_accuracy"]) == (0, 0)  # there, if nothing was true


def test_attention_on_what_is_named_is_counted(monkeypatch):
    run = made()
    data = run.dataset("val")
    captions = [scenes_world.caption(scene) for scene in data.scenes]

    def on_the_object(k, T):
        alphas = np.zeros((T, 64))
        for first, last, index in captions[k].mentions:
            o = data.scenes[k].objects[index]
            alphas[first:last, int(o.y / 8) * 8 + int(o.x / 8)] = 1
        return alphas

    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: captions[k].words, on_the_object))
    assert captioning.truth(run, data)["pointing_accuracy"] == 1


def test_only_who_looks_can_point(run):
    figures = captioning.evaluate(run, n=4)
    looks = run.config.model in LOOKING  # uniform attention does not choose
    assert ("pointing_accuracy" in figures) == ("pointing_chance" in figures) == looks
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))
    assert figures["n"] == 4


@pytest.mark.parametrize("beam", [1, 2])
def test_captions_of_picture_files(run, tmp_path, beam):
    rng = np.random.default_rng(0)
    paths = [tmp_path / "wide.png", tmp_path / "tall.jpg"]
    for path, shape in zip(paths, ((40, 90, 3), (90, 30, 3)), strict=True):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    for path, told in zip(paths, captioning.caption_images(run, paths, beam, images=True), strict=True):
        assert told.path == str(path)
        assert len(told.words) == len(told.probabilities)
        assert all(0 < p <= 1 for p in told.probabilities)
        if run.config.model in (*LOOKING, "uniform"):
            assert told.alphas.shape == (len(told.words), 8, 8)
            assert captioning.attention_picture(told).width > 100
        else:
            with pytest.raises(UserError, match="--model attention"):
                captioning.attention_picture(told)


def test_without_attention_every_place_has_the_same_weight():
    run = made("uniform")
    (told,) = run.caption(run.dataset("val", n=1).pictures)
    np.testing.assert_allclose(told.alphas, 1 / 64, rtol=1e-5)


def test_a_blind_run_is_shown_another_picture():
    seeing, blind = made(), made(blind=True)
    ours, theirs = seeing.dataset("val"), blind.dataset("val")
    assert ours.captions == theirs.captions
    assert not (ours.picture_of == theirs.picture_of).any()


def test_arguments_that_do_not_go_together():
    with pytest.raises(UserError, match="grammar=klingon"):
        made(more=["grammar=klingon"])
    run = made()
    with pytest.raises(UserError, match="--split nonsense"):
        captioning.evaluate(run, "nonsense")
    with pytest.raises(UserError, match="--n 0"):
        captioning.evaluate(run, n=0)
    with pytest.raises(UserError, match="--beam 0"):
        captioning.evaluate(run, n=2, beam=0)


@pytest.mark.parametrize("setting", ["batch=1", "n_train=1"])
def test_one_picture_is_too_few_to_normalise_over(setting):
    for model in ("naive", "shortcut"):
        with pytest.raises(UserError, match=f"--model {model} needs batches of 2"):
            captioning.config("caption", "scenes", model, "quick", 0, [setting])
    captioning.config("caption", "scenes", "attention", "quick", 0, [setting])


# --- photographs -----------------------------------------------------------------------------------------------------


class Unused:
    """Stands in for a backbone that nobody asks."""

    name, checksum, size, crop, shape = "unused", "0" * 32, (6, 4), None, (3, 3, 5)


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Captions of pictures that nobody opens: rare words in each, and features by chance. ``asked`` are the pictures."""
    names = [f"{i}.jpg" for i in range(12)]
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / name).touch()
    captions = [f"{name}#{k}\tA rare{i}{k} near a thing{i}{k} ." for i, name in enumerate(names) for k in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(captions) + "\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:8]) + "\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("\n".join(names[8:]) + "\n")
    asked = []

    def features(paths, extractor, show_progress, what="photograph"):
        asked.append(len(paths))
        seen = np.random.default_rng(len(paths)).standard_normal((len(paths), 3, 3, 5)).astype(np.float32)
        return seen[:, :, ::-1] if extractor.name.endswith("mirrored") else seen

    monkeypatch.setattr(captioning, "features_of", features)
    monkeypatch.setattr(backbone, "pretrained", lambda config, fitted: None)
    monkeypatch.setattr(backbone, "extractor", lambda config, weights: None if config.backbone == "conv" else Unused())
    return tmp_path, asked


def of_photographs(folder, *more, say=lambda line: None, data=None, **options):
    small = ["batch=4", "hidden=8", "embedding=8", "attention=8", *more]
    config = captioning.config("caption", data or f"flickr8k:{folder}", "attention", "quick", 0, small, **options)
    return captioning.prepare(config, None, False, say, folder).run


def test_bleu_of_captions_is_of_the_words_as_they_were_written(photographs, monkeypatch):
    """Rare words were <unk> in the references, too, and a captioner that said <unk> had them all right."""
    run = of_photographs(photographs[0])
    assert run.vocabulary.words[4:] == ("a", "near")
    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: ["a", "<unk>", "near", "a", "<unk>"], nowhere))
    figures = captioning.evaluate(run)
    assert figures["bleu_4"] < 15
    assert figures["unknown_share"] == pytest.approx(2 / 5)


def test_mirrored_photographs_are_for_training_alone(photographs):
    """Eight to train on, and the same in a mirror; four to validate on, as they are."""
    folder, asked = photographs
    of_photographs(folder, "mirror=true")
    assert asked == [8, 8, 4]
    config = captioning.config(
        "caption", f"flickr8k:{folder}", "attention", "quick", 0, ["mirror=true", "by_length=true"]
    )
    extractor = backbone.extractor(config, backbone.pretrained(config, None))
    data = captioning.dataset(config, None, "train", extractor=extractor, mirror=True)
    np.testing.assert_array_equal(data.mirrored, data.pictures[:, :, ::-1])
    assert data.by_length
    assert captioning.dataset(config, data.vocabulary, "val", extractor=extractor).mirrored is None


@pytest.mark.parametrize("setting", ["mirror=true", "by_length=true", "min_count=3"])
def test_settings_of_photographs_are_refused_for_scenes(setting):
    with pytest.raises(UserError, match="does nothing with --data scenes"):
        captioning.config("caption", "scenes", "attention", "quick", 0, [setting])


@pytest.mark.parametrize("beam", [1, 2])
def test_no_caption_says_that_it_does_not_know_a_word(photographs, beam):
    run = of_photographs(photographs[0])
    run.model.params["output.b"][UNK] = 50.0
    for generated in run.caption(run.dataset("val").pictures, beam):
        assert UNK not in generated.tokens


def test_only_as_many_photographs_as_were_asked_for(photographs):
    folder, asked = photographs
    run = of_photographs(folder)
    asked.clear()
    assert captioning.evaluate(run, n=3)["n"] == 3
    assert asked == [3]


def test_captions_character_by_character(photographs):
    folder, said = photographs[0], []
    run = of_photographs(folder, "min_count=1", say=said.append, characters=True)
    assert {"A", " ", "."} <= set(run.vocabulary.words)
    assert {"bleu_4_of_characters", "cider_d_of_characters"} <= captioning.evaluate(run).keys()
    (generated,) = run.caption(run.dataset("val", n=1).pictures)
    assert captioning.captioned(run, "x", np.zeros((9, 9, 3), np.uint8), generated).text == "".join(
        run.words(generated)
    )
    with pytest.raises(UserError, match="--characters goes with captions of your own"):
        made(characters=True)


def test_captions_that_are_longer_than_any_that_is_said(photographs, monkeypatch):
    """They are learned whole; how many there are is said, and so is how many of the run's own were cut off."""
    folder, said = photographs[0], []
    file = folder / "Flickr8k.token.txt"
    long = " ".join(["near"] * 40)
    file.write_text(
        file.read_text().replace("A rare00 near", long).replace("A rare10 near", long.removesuffix(" near"))
    )
    run = of_photographs(folder, "min_count=1", say=said.append)
    assert (
        "2 of 16 captions to train on have 40 words or more, the longest 42: they are learned whole, but what"
        in "".join(said)
    )
    assert max(map(len, run.dataset("train").captions)) == 42
    run.model.params["output.b"][END] = -50.0
    assert captioning.evaluate(run)["cut_off"] == 4
    run.model.params["output.b"][END] = 50.0
    assert captioning.evaluate(run)["cut_off"] == 0
    said.clear()
    of_photographs(folder, "min_count=1", say=said.append, characters=True)
    assert any("have 200 characters or more" in line for line in said)


def test_captions_without_a_word_that_could_be_learned(photographs):
    folder = photographs[0]
    with pytest.raises(UserError, match="min_count=99: no word of the captions occurs so often; choose a lower one"):
        of_photographs(folder, "min_count=99")
    file = folder / "Flickr8k.token.txt"
    file.write_text("".join(line.partition("\t")[0] + "\t. !\n" for line in file.read_text().splitlines()))
    with pytest.raises(UserError, match="captions to train on have no words; give another"):
        of_photographs(folder, "min_count=1")


def test_what_is_wrong_with_a_list_is_said_before_features_are_made(photographs):
    folder, asked = photographs
    (folder / "images" / "9.jpg").unlink()  # of those to validate on
    with pytest.raises(UserError, match="lists 1 of 4 pictures that are not in"):
        of_photographs(folder)
    (folder / "Flickr_8k.devImages.txt").unlink()
    with pytest.raises(UserError, match="has no Flickr_8k.devImages.txt"):
        of_photographs(folder)
    assert asked == []


def test_markers_around_captions_are_said(photographs):
    folder, said = photographs[0], []
    file = folder / "Flickr8k.token.txt"
    file.write_text(file.read_text().replace("\t", "\tstartseq ").replace(" .", " endseq"))
    run = of_photographs(folder, say=said.append)
    assert any(line.startswith("24 texts stand between markers") for line in said)
    assert run.vocabulary.words[4:] == ("a", "near")


@pytest.mark.parametrize(
    ("model", "setting", "reason"),
    [
        ("attention", "min_count=2", "--data scenes"),
        ("uniform", "attention=8", "--model uniform"),
        ("naive", "gate=true", "--model naive"),
        ("uniform", "gate=true", "--model uniform"),
        ("naive", "init_state=mean", "--model naive"),
        ("shortcut", "init_state=mean", "--model shortcut"),
        ("uniform", "doubly_stochastic=1", "--model uniform"),
        ("hard-attention", "doubly_stochastic=1", "--model hard-attention"),
        ("attention", "drawn=0.3", "--model attention"),
        ("attention", "reinforce=2", "--model attention"),
        ("naive", "entropy=0.1", "--model naive"),
        ("attention", "schedule=constant", "scheduled_sampling=0"),
        ("attention", "own_words=greedy", "scheduled_sampling=0"),
        *(
            (m, each, f"--model {m}")
            for m in ("naive", "uniform")
            for each in ("query=current", "sharpening=2", "frequencies=4")
        ),
    ],
)
def test_settings_that_do_nothing(model, setting, reason):
    with pytest.raises(UserError, match=f"{setting}: .* does nothing with {reason}; leave it out"):
        made(model, more=[setting])


@pytest.mark.parametrize(
    ("model", "setting", "saying"),
    [
        ("attention", "doubly_stochastic=-1", "0 or more, and finite"),
        ("attention", "doubly_stochastic=inf", "0 or more, and finite"),
        ("attention", "doubly_stochastic=nan", "0 or more, and finite"),
        ("hard-attention", "reinforce=-1", "0 or more, and finite"),
        ("hard-attention", "entropy=-0.1", "0 or more, and finite"),
        ("hard-attention", "drawn=1.5", "0 to 1"),
        ("hard-attention", "drawn=nan", "0 to 1"),
        ("attention", "scheduled_sampling=1.01", "0 to 1"),
        ("attention", "scheduled_sampling=-0.1", "0 to 1"),
        ("attention", "schedule=quadratic", "linear, inverse-sigmoid, constant"),
        ("attention", "own_words=best", "sample, greedy"),
        ("attention", "init_state=median", "zero, mean"),
        ("attention", "gate=maybe", "true or false"),
        ("attention", "query=next", "previous, current"),
        ("attention", "sharpening=0", "above 0"),
        ("attention", "frequencies=-1", "0 or more"),
    ],
)
def test_settings_out_of_range(model, setting, saying):
    with pytest.raises(UserError, match=f"{setting.split('=')[0]}.*{saying}"):
        made(model, more=[setting])


def test_the_settings_reach_the_model():
    asked = {"drawn": 0.25, "reinforce": 2.0, "entropy": 0.5, "gate": True, "init_state": "mean", "own_words": "greedy"}
    asked |= {"query": "current", "sharpening": 2.0}
    more = [f"{name}={value}" for name, value in asked.items()]
    found = made("hard-attention", more=[*more, "scheduled_sampling=0.1"]).model.config.decoder
    assert (found.gate, found.init_state, found.own_words) == (True, "mean", "greedy")
    assert (found.query, found.sharpening) == ("current", 2)
    assert (found.hard.drawn, found.hard.reinforce, found.hard.entropy) == (0.25, 2.0, 0.5)
    assert made(more=["frequencies=3"]).model.config.region == made().model.config.region + 12
    assert made(more=["doubly_stochastic=0.5"]).model.config.decoder.doubly_stochastic == 0.5
    plain = made().model.config.decoder
    assert plain.hard is None
    assert (plain.gate, plain.init_state, plain.doubly_stochastic) == (False, "zero", 0)


def test_settings_of_scenes_do_nothing_for_photographs(photographs):
    for setting in ("n_train=5", "n_val=5", "least_objects=3", "most_objects=4", "grammar=places"):
        with pytest.raises(UserError, match=f"{setting}: .* does nothing with --data flickr8k"):
            of_photographs(photographs[0], setting)


# --- photographs of other sets, and results ---------------------------------------------------------------------------


def karpathy(folder, ids=True):
    """The same photographs as a split of Karpathy's, with the numbers that COCO gives."""
    images = [
        {
            "filename": f"{i}.jpg",
            "split": "restval" if i < 4 else "train" if i < 8 else "val",
            "sentences": [{"raw": f"A rare{i}{k} near a thing{i}{k} ."} for k in range(2)],
        }
        | ({"cocoid": 100 + i} if ids else {})
        for i in range(12)
    ]
    (folder / "dataset.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    return f"karpathy:{folder / 'dataset.json'}:{folder / 'images'}"


def coco_captions(folder):
    """The same as annotations of COCO."""
    for part, numbers in (("train", range(8)), ("val", range(8, 12))):
        images = [{"id": i + 100, "file_name": f"{i}.jpg"} for i in numbers]
        annotations = [
            {"image_id": i + 100, "caption": f"A rare{i}{k} near a thing{i}{k} ."} for i in numbers for k in (0, 1)
        ]
        (folder / f"captions_{part}2014.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return f"coco:{folder / 'captions_train2014.json'}:{folder / 'images'}"


@pytest.mark.parametrize("form", [karpathy, coco_captions])
def test_the_same_photographs_in_other_formats(photographs, form):
    folder, _ = photographs
    ours, theirs = of_photographs(folder), of_photographs(folder, data=form(folder))
    assert theirs.vocabulary.words == ours.vocabulary.words
    for split in ("train", "val"):
        assert theirs.dataset(split).texts == ours.dataset(split).texts


def test_a_file_of_captions_is_read_once_to_train(photographs, monkeypatch):
    folder, reads = photographs[0], []
    monkeypatch.setattr(
        captioning, "photographs", lambda config: reads.append(1) or Karpathy(*config.argument.arguments)
    )
    of_photographs(folder, data=karpathy(folder))
    assert len(reads) == 1


def test_that_a_set_was_cut_by_chance_is_said(photographs):
    folder, said = photographs[0], []
    for name in ("train", "dev"):
        (folder / f"Flickr_8k.{name}Images.txt").unlink()
    of_photographs(folder, say=said.append)
    assert any("by chance, by picture" in line for line in said)


@pytest.mark.parametrize(
    ("form", "ids"),
    [
        (karpathy, [108, 109, 110, 111]),
        (coco_captions, [108, 109, 110, 111]),
        (lambda folder: karpathy(folder, ids=False), [8, 9, 10, 11]),
    ],
)
def test_results_in_cocos_format(photographs, form, ids, tmp_path, monkeypatch):
    run = of_photographs(photographs[0], data=form(photographs[0]))
    monkeypatch.setattr(captioning.Run, "caption", saying(lambda k: ["a", "near"][: k + 1], nowhere))
    captioning.evaluate(run, results=tmp_path / "results.json")
    captions = ["a", "a near", "a near", "a near"]
    expected = [{"image_id": i, "caption": c} for i, c in zip(ids, captions, strict=True)]
    assert json.loads((tmp_path / "results.json").read_text()) == expected


def test_results_that_nobody_could_judge(photographs, tmp_path):
    for run in (made(), of_photographs(photographs[0], blind=True)):
        with pytest.raises(UserError, match="--results is of photographs, not of"):
            captioning.evaluate(run, results=tmp_path / "results.json")


def test_many_pictures_are_captioned_in_pieces(tmp_path, monkeypatch):
    """A folder of 40,000 does not fit into memory at once."""
    run, sizes = made(), []
    for i in range(5):
        Image.fromarray(np.full((8, 8, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.iterdir())
    whole = run.caption(np.stack([np.asarray(Image.open(p).resize((64, 64))) for p in paths]))
    original = captioning.pictures_of
    monkeypatch.setattr(captioning, "pictures_of", lambda paths, c: sizes.append(len(paths)) or original(paths, c))
    found = list(captioning.caption_images(run, paths, size=2))
    assert sizes == [2, 2, 1]
    assert [c.text for c in found] == [run.text(run.words(g)) for g in whole]
    assert all(c.image is None for c in found)  # full-size pictures are read when they are wanted
    with_images = captioning.caption_images(run, paths, size=2, images=True)
    assert [c.image.mean() for c in with_images] == [0, 50, 100, 150, 200]


def test_pictures_that_cannot_be_read_are_left_out_and_named(tmp_path, monkeypatch):
    run, done, decoded = made(), [], []
    for i in range(7):
        Image.fromarray(np.full((8, 8, 3), 30 * i, np.uint8)).save(tmp_path / f"{i}.png")
    for i in (2, 4, 5):
        (tmp_path / f"{i}.png").write_bytes(b"nothing")
    paths, unread = sorted(tmp_path.iterdir()), []
    found = list(captioning.caption_images(run, paths, size=2, unread=unread, done=done.append))
    assert [Path(c.path).name for c in found] == ["0.png", "1.png", "3.png", "6.png"]
    assert [str(error).split(" is no picture")[0] for error in unread] == [
        str(tmp_path / f"{i}.png") for i in (2, 4, 5)
    ]
    assert done == [2, 4, 6, 7]
    alone = [next(captioning.caption_images(run, [Path(c.path)])).text for c in found]
    assert [c.text for c in found] == alone
    with pytest.raises(UserError, match=r"2\.png is no picture"):
        list(captioning.caption_images(run, paths, size=2))
    original = captioning.pictures_of
    monkeypatch.setattr(captioning, "pictures_of", lambda paths, c: decoded.extend(paths) or original(paths, c))
    list(captioning.caption_images(run, [paths[0], paths[1], paths[3]], unread=[]))
    assert decoded == [paths[0], paths[1], paths[3]]  # once, where all can be read
