"""Scenes: an endless, embedded world of drawn pictures whose truth is known.

A scene is a pure function of ``(seed, index)``: three to eight plain shapes, each with a shape, a colour, a
size and a place. Nothing is stored and nothing is downloaded. Because the truth is known, two things can be measured
that photographs cannot give: whether a caption is *true* of its picture (:func:`judge`), and whether the
attention of a model *points* at the object that a word names (:func:`scratchlv.metrics.pointing_accuracy`).

Every index belongs to one split (:func:`split_index`). Two splits never hold the same scene: the
arrangement itself decides, by a checksum, which of train, val and test it may appear in; and the (colour, shape)
pairs in :data:`HELD_OUT` are drawn in the split ``compositional`` only.

Only ``random.Random.random`` is used to sample: its stream is the same in every version of Python.
"""

from scratchlv.data.scenes.captions import (
    GRAMMARS,
    Caption,
    Parse,
    Phrase,
    Verdict,
    caption,
    judge,
    noun_phrase,
    parse,
    vocabulary_words,
)
from scratchlv.data.scenes.entropy import Entropy, caption_entropy
from scratchlv.data.scenes.headlines import (
    description,
    description_vocabulary_words,
    headline,
    headline_vocabulary_words,
)
from scratchlv.data.scenes.questions import (
    ANSWERS,
    TEMPLATES,
    Question,
    answer,
    question_vocabulary_words,
    questions,
)
from scratchlv.data.scenes.translations import (
    TRANSLATION_GRAMMARS,
    french_vocabulary_words,
    translation,
    typeset,
)
from scratchlv.data.scenes.world import (
    COLOURS,
    HELD_OUT,
    PLACES,
    RELATION_GAP,
    RELATIONS,
    SHAPES,
    SIDE,
    SIZES,
    SPLITS,
    Scene,
    SceneObject,
    World,
    draw,
    first_scenes,
    relation_between,
    scene,
    split_index,
)

__all__ = [
    "ANSWERS",
    "COLOURS",
    "GRAMMARS",
    "HELD_OUT",
    "PLACES",
    "RELATIONS",
    "RELATION_GAP",
    "SHAPES",
    "SIDE",
    "SIZES",
    "SPLITS",
    "TEMPLATES",
    "TRANSLATION_GRAMMARS",
    "Caption",
    "Entropy",
    "Parse",
    "Phrase",
    "Question",
    "Scene",
    "SceneObject",
    "Verdict",
    "World",
    "answer",
    "caption",
    "caption_entropy",
    "description",
    "description_vocabulary_words",
    "draw",
    "first_scenes",
    "french_vocabulary_words",
    "headline",
    "headline_vocabulary_words",
    "judge",
    "noun_phrase",
    "parse",
    "question_vocabulary_words",
    "questions",
    "relation_between",
    "scene",
    "split_index",
    "translation",
    "typeset",
    "vocabulary_words",
]
