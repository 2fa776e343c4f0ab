"""METEOR and SPICE of captions. They are Java programs with data of their own; pycocoevalcap brings them, where it is installed.

METEOR (Banerjee and Lavie 2005) matches words by stems, synonyms and paraphrases as well; SPICE (Anderson et al. 2016) compares
the objects, attributes and relations that a parser finds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from scratchlv.errors import UserError
from scratchlv.metrics.basic import require_references, require_tokens

Tokens = Sequence[str]


def meteor(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    """METEOR 1.5 of captions that were cut by :func:`~scratchlv.metrics.ptb.ptb_words`, 0 to 1.

    Raises:
        UserError: pycocoevalcap or Java is missing, or the program failed.
        ValueError, TypeError: as :func:`~scratchlv.metrics.captions.caption_metrics`.
    """
    return _score("METEOR", "meteor", "Meteor", hypotheses, references)


def spice(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    """SPICE 1.0 of captions that were cut by :func:`~scratchlv.metrics.ptb.ptb_words`, 0 to 1. Its parser is downloaded once.

    Raises:
        UserError: pycocoevalcap or Java is missing, or the program failed.
        ValueError, TypeError: as :func:`~scratchlv.metrics.captions.caption_metrics`.
    """
    return _score("SPICE", "spice", "Spice", hypotheses, references)


def require(name: str) -> None:
    """
    Raises:
        UserError: what computes METEOR and SPICE is not there.
    """
    if shutil.which("java") is None:
        raise UserError(f"{name} is a Java program, and there is no java here; install a Java runtime, or leave it out")
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise UserError(
            f"{name} is computed through pycocoevalcap, which is not installed; pip install pycocoevalcap, or leave it out"
        )


def _score(name: str, module: str, scorer: str, hypotheses: Any, references: Any) -> float:
    require_tokens("hypotheses", hypotheses)
    require_references(references)
    require(name)
    told = {k: [" ".join(words)] for k, words in enumerate(hypotheses)}
    known = {k: [" ".join(words) for words in several] for k, several in enumerate(references)}
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it talks of its progress
            score, _ = getattr(importlib.import_module(f"pycocoevalcap.{module}.{module}"), scorer)().compute_score(
                known, told
            )
    except Exception as error:  # whatever goes wrong in there: a download, a pipe, a version of Java
        raise UserError(f"{name}: pycocoevalcap failed ({type(error).__name__}: {error}); leave it out") from None
    return float(score)
