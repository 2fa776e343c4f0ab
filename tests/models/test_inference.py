"""Models that are made ready for use."""

import numpy as np
import pytest

from scratchlv import decode
from scratchlv.models.inference import make_ready
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig
from scratchlv.models.translator import Translator, TranslatorConfig


def language_model(cell="lstm"):
    model = LanguageModel(LanguageModelConfig(vocabulary=90, embedding=10, hidden=20, layers=2, cell=cell), seed=3)
    model.params["embedding.W"] *= 10
    return model


def said(model, how=decode.greedy, inputs=3, **options):
    return [
        (s.tokens.tolist(), s.probabilities.tobytes())
        for s in how(model, inputs, max_length=6, min_length=6, **options)
    ]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_what_is_said_is_what_the_rounded_weights_say(kind, cell):
    """Those in fewer bits, and the same in float32, decode the same bits, greedily and by beam search."""
    ready, plain = language_model(cell), language_model(cell)
    make_ready(ready, kind)
    plain.params = dict(ready.params)
    assert (kind == "float32") == all((ready.params[k] == W).all() for k, W in language_model(cell).params.items())
    assert said(ready) == said(plain)
    assert said(ready, decode.beam_search, 1, beam=5) == said(plain, decode.beam_search, 1, beam=5)
    assert set(ready.packed) == {
        "output.W", *(f"recurrent.{k}.W{which}" for k in range(2) for which in "xh")
    }  # fmt: skip


@pytest.mark.parametrize("context", ["additive", "dot", "naive"])
def test_what_looks_at_the_input_once_stays_as_it_is(context):
    config = TranslatorConfig(vocabulary=30, source_vocabulary=20, model=context, embedding=4, hidden=5, attention=6)
    model, before = Translator(config), Translator(config).params
    make_ready(model, "int8")
    changed = {name for name, W in model.params.items() if not np.array_equal(W, before[name])}
    attention = {"additive": {"attention.Wh"}, "dot": {"attention.W"}, "naive": set()}[context]
    output = {"output.Wh", "output.Wo"} | (set() if context == "naive" else {"output.Wz"})
    assert changed == {"decoder.Wx", "decoder.Wh"} | attention | output
    source = np.arange(4, 10).reshape(3, 2), np.array([3, 2])
    said(model, inputs=source)


def test_what_answers_is_rounded():
    model = QuestionAnswerer(QuestionAnswererConfig(vocabulary=9, answers=4, model="blind"))
    before = dict(model.params)
    make_ready(model, "bfloat16")
    changed = {name for name, W in model.params.items() if W is not before[name]}
    assert changed == {"question.Wx", "question.Wh", "answer.W1", "answer.W2"}


def test_a_weight_that_cannot_be_kept_is_named_and_nothing_is_changed():
    model = language_model()
    model.params["output.W"][3, 4] = np.nan
    before = dict(model.params)
    with pytest.raises(ValueError, match=r"output\.W: int8 holds finite numbers"):
        make_ready(model, "int8")
    assert all(model.params[name] is W for name, W in before.items())
    assert model.packed == {}
    with pytest.raises(ValueError, match="int4"):
        make_ready(model, "int4")
