"""What the configs of all models have in common."""

import dataclasses

import pytest

from scratchlv.models.captioner import CaptionerConfig
from scratchlv.models.context import DecoderConfig
from scratchlv.models.language_model import LanguageModelConfig
from scratchlv.models.memory_network import MemoryNetworkConfig
from scratchlv.models.question_answerer import QuestionAnswererConfig
from scratchlv.models.translator import TranslatorConfig

CONFIGS = [
    CaptionerConfig,
    DecoderConfig,
    LanguageModelConfig,
    MemoryNetworkConfig,
    QuestionAnswererConfig,
    TranslatorConfig,
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_width_is_given_by_its_name(config):
    """Two whole numbers side by side are easily swapped."""
    assert all(field.kw_only for field in dataclasses.fields(config))
    with pytest.raises(TypeError, match="positional"):
        config(20)
