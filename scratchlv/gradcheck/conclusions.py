"""What a failed check is consistent with: the line that mends it, the bug by its name, the first wrong gradient inside.

A mend that makes every gradient right on fresh numbers and on other shapes is the strongest evidence, so it comes first. It
is found by running the user's own code with one line changed, in a process of its own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.gradcheck.calls import Pair, as_vector, generator
from scratchlv.gradcheck.causes import REFINED_BY, at_odds, key_of, without_mend
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.examination import Subject
from scratchlv.gradcheck.inputs import Inputs
from scratchlv.gradcheck.inside import Inside, code_of
from scratchlv.gradcheck.measured import Point
from scratchlv.gradcheck.naming.diagnose import ONE_WAY, UNKNOWN, diagnose
from scratchlv.gradcheck.naming.localise import FROM_THERE
from scratchlv.gradcheck.repair import Repair, find_repairs
from scratchlv.gradcheck.repair.residual import missing_terms
from scratchlv.gradcheck.slices import apart
from scratchlv.gradcheck.trials import Trial, fresh_trials, other_numbers, other_shapes, served, with_masks

SECONDS = 10.0  # that the search for the line may take
SECONDS_FOR_OTHERS = 5.0  # after which a name is not looked for on further inputs
MOST_SENTENCES = 3


def conclusions(
    subject: Subject, inputs: Inputs, evidence: Evidence, points: dict[str, list[Point]], *, repair: bool, hint: str
) -> list[str]:
    """At most three sentences, the most telling first.

    Args:
        inputs: of the check that failed.
        points: the slopes that are known, by the input's name.
        repair: look for the line that mends it.
        hint: "mend" shows the mend, "line" the line alone.
    """
    repairs = _repairs(subject, inputs, evidence, points) if repair else []
    whole = [each for each in repairs if not each.partial]
    if whole and (key := _shown(whole[0])) not in REFINED_BY:
        return [_sentence(whole[0], hint)]
    named = _named(subject, evidence)
    if whole:
        particular = [each for each in named[:1] if key_of(each) in REFINED_BY[key] and ONE_WAY not in each]
        if whole[0].cause and any(FROM_THERE in each and key_of(each) == "local derivative" for each in particular):
            particular = []  # a mend with a name tells more than a place that it may be at
        if particular or (named and at_odds(key, key_of(named[0]))):
            return [*particular, whole[0].sentence(show_mend=hint == "mend")]
        return [_sentence(whole[0], hint)]
    inside = _first_wrong(subject.pair, inputs, evidence)
    found = [*named, *_lacking(subject.pair, evidence, named), *inside, *(_sentence(each, hint) for each in repairs)]
    known = [sentence for sentence in found if sentence != UNKNOWN]
    return (known or found)[:MOST_SENTENCES]


def _repairs(subject: Subject, inputs: Inputs, evidence: Evidence, points: dict[str, list[Point]]) -> list[Repair]:
    trials = [Trial(subject.pair, inputs, evidence.dy, points)]
    with np.errstate(all="ignore"):
        right = [name for name in points if name not in evidence.wrong]
        trials += fresh_trials(
            subject.pair, subject.given, subject.make, subject.seed, subject.remade(), list(points), right
        )
        return find_repairs(subject.pair.backward, evidence, trials, seconds=SECONDS, forward=subject.pair.forward)


def _shown(repair: Repair) -> str:
    """The key of the cause that a mend shows. A term that it adds was missing, even if it may be another's in disguise."""
    adds = not repair.cause and repair.how.startswith(("with + ", "with - ")) and not repair.also
    return "missing term" if adds else key_of(f"consistent with {repair.cause}")


def _sentence(repair: Repair, hint: str) -> str:
    sentence = repair.sentence(show_mend=hint == "mend")
    words = repair.cause if hint == "mend" else without_mend(repair.cause)
    return f"{sentence}: consistent with {words}" if words else sentence


def _named(subject: Subject, evidence: Evidence) -> list[str]:
    compared = [name for name in evidence.wrong if name in evidence.analytic]  # the shapes of the others are wrong
    if not compared:
        return []
    return diagnose(
        replace(evidence, wrong=compared),
        rerun=subject.rerun,
        remake=subject.remake,
        sizes=subject.sizes,
        others=_others(subject, evidence.wrong),
    )


def _others(subject: Subject, wrong: list[str]) -> Iterator[Evidence]:
    """The evidence of fresh numbers, and of other shapes: one where dimensions of one length differ, too."""
    rng, deadline = generator(subject.seed + 5), time.process_time() + SECONDS_FOR_OTHERS
    moved = subject.make(subject.given).moved

    def serves(inputs: dict[str, Any]) -> bool:
        return served(subject.pair, subject.make, inputs)

    shapes = (
        itertools.islice(other_shapes(subject.given, [], serves), 1),
        itertools.islice(apart(subject.given, serves), 1),
    )
    for inputs in itertools.chain([subject.given], *shapes):
        late = time.process_time() > deadline
        found = None if late else subject.rerun(with_masks(other_numbers(inputs, serves, rng), inputs, moved))
        if found is not None and set(found.wrong) <= set(wrong):  # else it is a shape that backward is not made for
            yield replace(found, wrong=[name for name in found.wrong if name in found.analytic])


def _lacking(pair: Pair, evidence: Evidence, named: list[str]) -> list[str]:
    """What a gradient lacks, of what backward computes, where nothing else tells."""
    if named != [UNKNOWN]:
        return []
    try:
        return missing_terms(evidence, pair.backward)
    except Exception:  # whatever being watched does to somebody's code
        return []


def _first_wrong(pair: Pair, inputs: Inputs, evidence: Evidence) -> list[str]:
    """The first gradient of an intermediate that is wrong, if the two functions can be watched."""
    codes = code_of(pair.forward), code_of(pair.backward)
    if codes[0] is None or codes[1] is None or codes[0] is codes[1] or not evidence.wrong:
        return []

    def gradients() -> dict[str, np.ndarray]:
        _, cache = pair.run_forward(inputs)
        return pair.gradients(evidence.dy, cache, inputs)

    try:
        with np.errstate(all="ignore"):
            arrays = list(inputs.arrays.values())
            look = Inside(
                lambda: pair.outputs(inputs),
                gradients,
                codes[0],
                codes[1],
                as_vector(evidence.dy),
                arrays,
                evidence.wrong,
            )
            given = pair.run_backward_whole(evidence.dy, pair.run_forward(inputs)[1])[1]
            found = look.first_wrong(given)
    except Exception:  # whatever being watched does to somebody's code
        return []
    return [found.sentence()] if found else []
