"""The figures of captions, beside those that COCO's evaluation is known to give."""

import math

import pytest

from scratchlv.metrics import bleu, caption_metrics, caption_rouge_l, ptb_words

words = str.split
#: clipscore's example (MIT): two pictures, three references each, a good caption and a bad one
REFERENCES = [
    [
        "two cats are sleeping next to each other.",
        "a grey cat is cuddling with an orange cat on a blanket.",
        "the orange cat is happy that the black cat is close to it.",
    ],
    [
        "a dog is wearing ear muffs as it lies on a carpet.",
        "a black dog and an orange cat are looking at the photographer.",
        "headphones are placed on a dogs ears.",
    ],
]
GOOD = [
    "an orange cat and a grey cat are lying together.",
    "a black dog wearing headphones looks at the camera as an orange cat walks in the background.",
]
BAD = [
    "a calico cat and a white cat are lying together.",
    "a black dog wearing a hat looks at the camera as a tabby walks in the background.",
]
#: as pycocoevalcap 1.2 gives them, BLEU in percent
KNOWN_OF_GOOD = {
    "bleu_1": 66.66666666419753,
    "bleu_2": 48.98979485377655,
    "bleu_3": 34.68814950494093,
    "bleu_4": 0.003754749996447119,
    "rouge_l": 0.42801048464089075,
    "cider_d": 0.5637412591757252,
}
KNOWN_OF_BAD = {
    "bleu_1": 48.14814814636489,
    "bleu_2": 24.037008502167395,
    "bleu_3": 13.593908197301877,
    "bleu_4": 0.0018597451116765103,
    "rouge_l": 0.31211054726129797,
    "cider_d": 0.2790165307163397,
}


def cut(texts):
    return [ptb_words(text) for text in texts]


@pytest.mark.parametrize(("captions", "known"), [(GOOD, KNOWN_OF_GOOD), (BAD, KNOWN_OF_BAD)])
def test_known_figures(captions, known):
    figures = caption_metrics(cut(captions), [cut(several) for several in REFERENCES])
    assert figures == pytest.approx(known, rel=1e-9)


def test_bleu_up_to_n_by_hand():
    """4 of 5 words, 3 of 4 pairs, 2 of 3 and 1 of 2; as long as the reference."""
    score = bleu([words("a b c d x")], [[words("a b c d e")]], smooth="coco")
    p = [4 / 5, 3 / 4, 2 / 3, 1 / 2]
    assert score.up_to == pytest.approx([100 * math.prod(p[:n]) ** (1 / n) for n in range(1, 5)], rel=1e-8)
    assert score.up_to[3] == pytest.approx(score.score, rel=1e-12)


def test_bleu_of_short_captions_is_small_and_never_fails():
    """No 4-gram was written, and none right: 1e-15 / 1e-9. Nothing written at all: 0."""
    assert bleu([["a", "b", "c"]], [[["a", "b", "c"]]], smooth="coco").up_to[3] == pytest.approx(
        100 * 1e-6 ** (1 / 4), rel=1e-6
    )
    assert bleu([[]], [[["a", "b", "c"]]], smooth="coco").up_to == (0, 0, 0, 0)


def test_rouge_by_hand():
    """Of "a b c d": the first reference shares a b, all that it has; the second a b c of five words.

    So P = 3/4 is the second's, R = 2/2 the first's: F = (1 + 1.44) · 3/4 / (1 + 1.44 · 3/4) = 1.83 / 2.08.
    """
    assert caption_rouge_l([words("a b c d")], [[words("a b"), words("a x b y c")]]) == pytest.approx(
        1.83 / 2.08, rel=1e-12
    )


def test_rouge_is_a_mean_and_an_empty_caption_has_none():
    assert caption_rouge_l([words("a b"), []], [[words("a b")], [words("a")]]) == 0.5
    assert caption_rouge_l([words("x")], [[words("a b"), []]]) == 0


def test_an_empty_caption_counts_as_one():
    one = [words("a dog runs in the grass")]
    whole = caption_metrics([one[0], []], [one, [words("a cat")]])
    assert 0 < whole["bleu_1"] < 100 and whole["rouge_l"] == 0.5
    assert whole["cider_d"] == pytest.approx(5)


def test_what_cannot_be_measured():
    with pytest.raises(ValueError, match="without a reference"):
        caption_metrics([["a"]], [[]])
    with pytest.raises(ValueError, match="no hypothesis"):
        caption_metrics([], [])
    with pytest.raises(TypeError, match="list of tokens"):
        caption_metrics(["a b"], [[["a", "b"]]])


def test_beside_pycocoevalcap():
    reason = "pycocoevalcap is not installed: pip install pycocoevalcap"
    theirs = {
        name: pytest.importorskip(f"pycocoevalcap.{name}.{name}", reason=reason) for name in ("bleu", "rouge", "cider")
    }
    hypotheses = [*cut(GOOD), []]
    references = [*(cut(several) for several in REFERENCES), [words("a man"), words("one more man")]]
    told = {k: [" ".join(h)] for k, h in enumerate(hypotheses)}
    known = {k: [" ".join(r) for r in several] for k, several in enumerate(references)}
    expected = {
        f"bleu_{n}": 100 * b for n, b in enumerate(theirs["bleu"].Bleu(4).compute_score(known, told, verbose=0)[0], 1)
    }
    expected["rouge_l"] = theirs["rouge"].Rouge().compute_score(known, told)[0]
    expected["cider_d"] = theirs["cider"].Cider().compute_score(known, told)[0]
    assert caption_metrics(hypotheses, references) == pytest.approx(expected, rel=1e-9)
