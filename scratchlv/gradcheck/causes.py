"""What a wrong gradient can be consistent with: one wording for each bug, whoever finds it.

The signatures and the probes infer a cause from numbers; a repair shows it by a mend. Both say it in these words.
"""

from __future__ import annotations

CAUSES = {
    # factors
    "mean missing": "a mean that is missing in backward, a division by {number}",
    "mean twice": "a mean where a sum is due, a division by {number} too many",
    "doubled": "a term that is added twice, or a missing 1/2",
    "halved": "a factor of 2 that is missing, as of a square, or a 1/2 too many",
    "factor": "a constant factor that is missing or doubled, or another number",
    "sign": "a sign that is flipped",
    "scale": "a scale of 1/√d that is missing or doubled",
    "another mean": "a mean over the wrong number, a division by {one} for {other}",
    "another scale": "a scale of 1/√d with the wrong d: {one} for {other}",
    "constant scale": "a scale that is missing or doubled in backward, the {number} of {where}",
    "learning rate": "a learning rate that is folded into the gradient",
    "upstream ignored": "an upstream gradient that is ignored: backward must multiply by it",
    "regularisation": "a regularisation term that only one of forward and backward has, or that they weigh differently",
    "not from zero": "a gradient that begins as a copy of {which}, and not at zero",
    "target": "a target that is not subtracted: softmax minus the one-hot target",
    # products and sums
    "transposed": "the two factors of a matrix product exchanged: the gradient is transposed",
    "letters": "letters of an einsum that are exchanged: an array is transposed, or one axis taken for another",
    "W for Wᵀ": "W used for Wᵀ",
    "missing factor": "a factor that is missing in a product{which}",
    "factor twice": "a factor too many in a product{which}",
    "wrong array": "a product with the wrong array{which}",
    "batch sum": "a missing sum over the batch",
    "sum": "a mean or sum over {axis} that is missing",
    "wrong axis": "a sum over the wrong axis",
    "axes": "axes of an array in another order than forward has them",
    "untransposed": "a matrix used for its transpose: {which} for {wanted}",
    "broadcast": "a broadcasting mistake: (N,) and (N, 1) are not the same",
    # time
    "recurrent": "a bug in the recurrent path",
    "W for Wᵀ in time": "W used for Wᵀ in the recurrent path",
    "dh_next": "dh_next being dropped",
    "dc_next": "dc_next being dropped",
    "carry": "the gradient that a step hands back to the step before being dropped{which}",
    "carry factor": "a factor that is missing in what a step hands back to the step before: {which}",
    "= for +=": "= for +=",
    "= for += in time": "= for += over time",
    "h_t": "h_t used for h_{{t−1}}",
    "c_t": "c_t used for c_{{t−1}}",
    "h_{t−1}": "h_{{t−1}} used for h_t",
    "off by one": "being off by one in time",
    "reversed": "a sequence that is not turned round in backward",
    "dropped step": "a time step that is dropped",
    "dropped round": "a loop that leaves its {which} round out",
    "step twice": "a time step that is counted twice",
    "left out": "the first or the last of {which} being left out, an example or a step that is dropped",
    "each round": "something that is added in each round of a loop, and should be added once",
    "round left out": "a round of a loop that is left out, a step that is dropped",
    "round too many": "rounds of a loop that are too many, so that something is counted twice, or should not be counted",
    "index by one": "an index that is off by one",
    "gates": "swapped gates",
    "blocks": "blocks of an array that are put together in the wrong order",
    # local derivatives
    "local derivative": "a wrong local derivative{of}",
    "tanh": "a wrong local derivative of tanh: it is 1 − tanh²",
    "sigmoid": "a wrong local derivative of σ: it is σ (1 − σ)",
    "softmax": "a wrong local derivative of softmax: its sum is missing, only the diagonal is there",
    "softmax slope": "a wrong local derivative of softmax: it is p (dp − Σ p dp)",
    "relu": "a ReLU's gradient that is masked by the wrong array",
    "own sign": "a gradient that is masked by its own sign, or taken without it: a ReLU is masked by its input",
    "no relu": "a wrong local derivative of ReLU: its mask is missing",
    "epsilon": "an epsilon that only one of forward and backward has",
    # paths
    "missing path": "a path that is missing{which}",
    "cancels": "terms that cancel, as where a factor is missing inside of a sum",
    "missing term": "a term that is missing",
    "too much": "something that does not belong there",
    # places
    "repeated rows": "+= where np.add.at is needed",
    "wrong rows": "gradients that are added to the wrong rows",
    "mask": "a mask that is missing in backward",
    "mask inverted": "a mask that backward uses the other way round",
    "mask in the mean": "a mean over the wrong number: the mask is missing in the normaliser",
    "dropout mask": "a dropout mask that is missing in backward",
    "dropout scale": "a dropout scale, 1/(1 − p), that is missing or doubled in backward",
    "stride": "a wrong stride in backward: the windows are not where forward has them",
    "padding": "a padding that backward does not cut off, or cuts off in the wrong place",
    "kernel not flipped": "a kernel that is not flipped in the gradient by the input",
    "cut": "parts of an array that are cut in the wrong place, or taken in the wrong order",
    "flipped": "an array that is flipped in backward, and should not be: {which}",
    "all places": "a gradient that is given to all places, and belongs to the one that was chosen",
    "taken back": "a gradient that is taken from where the numbers came from, and has to be put back there",
    "one-hot": "a one-hot target that stays zero",
    "picked": "the class that the model picks, for the target",
    "argmax": "a gradient that goes to the wrong place of a maximum",
    "ties": "a gradient that goes to all ties of a maximum: each of them gets the whole of it",
    "wrong place": "a wrong index, so that another row or place is taken{which}",
    # the call
    "kept late": "an array that is kept for backward after it has changed",
    "wrong name": "a wrong variable: {one} used for {other}",
    "wrong number": "a wrong number: {one} for {other}",
    "wrong function": "a wrong function in a local derivative: {one} for {other}",
    "other function": "a wrong function: {one} used for {other}",
    "exchanged": "two arrays that are exchanged: {pair}",
    "another's gradient": "the gradient of {other}",
    "order": "gradients that are returned in the wrong order",
    "float32": "a computation in float32 inside {where}",
    "whole numbers": "an array of whole numbers, which cuts off the rest of all that is put into it",
    "aliased": "an array that is changed in place, although something else still stands for it: keep a copy",
}

#: What an edit shows in general, and what the numbers may say of it in particular: the particular comes first.
_PARTICULAR = {
    "factor", "doubled", "halved", "scale", "another mean", "another scale", "not from zero", "learning rate", "mean missing",
    "mean twice", "local derivative", "tanh", "sigmoid",
    "softmax", "softmax slope", "relu", "own sign", "epsilon", "recurrent", "dh_next", "dc_next", "h_t", "c_t", "off by one",
    "dropped step", "step twice",
    "gates", "missing path", "target", "mask", "mask in the mean", "dropout mask", "dropout scale", "stride", "padding",
    "kernel not flipped", "argmax", "ties", "wrong rows", "upstream ignored", "regularisation", "another's gradient", "order",
    "constant scale", "missing factor", "factor twice", "wrong array", "reversed", "h_{t−1}", "dropped round", "mask inverted",
    "missing term", "batch sum", "sum", "wrong axis", "transposed", "W for Wᵀ", "W for Wᵀ in time", "= for +=",
    "= for += in time", "repeated rows",
}  # fmt: skip
#: What is left out by a mend was there: no cause that speaks of something missing fits it.
_OF_WHAT_IS_THERE = {
    "doubled", "factor twice", "mean twice", "another mean", "learning rate", "regularisation", "epsilon", "scale",
    "constant scale", "dropout scale", "step twice", "not from zero", "dropout mask", "mask", "mask inverted", "relu",
    "own sign", "softmax slope", "tanh", "sigmoid", "local derivative", "ties", "aliased",
}  # fmt: skip
REFINED_BY = {
    "": _PARTICULAR,
    "wrong name": _PARTICULAR,
    "wrong place": _PARTICULAR,
    "wrong number": _PARTICULAR,
    "wrong function": _PARTICULAR,
    "other function": _PARTICULAR,
    "wrong rows": {"argmax", "ties", "stride", "padding", "off by one", "kernel not flipped", "reversed", "dropped step"},
    "exchanged": {"gates", "order", "another's gradient"},
    "mask": {
        "mask inverted", "dropout mask", "dropout scale", "mask in the mean", "relu", "own sign", "no relu", "argmax", "ties",
        "local derivative",
    },
    "factor": {
        "doubled", "halved", "scale", "learning rate", "mean missing", "mean twice", "dropout scale", "mask in the mean",
        "regularisation", "upstream ignored", "local derivative", "tanh", "sigmoid", "epsilon", "constant scale",
        "missing factor", "factor twice", "another mean", "another scale",
    },
    "local derivative": {
        "tanh", "sigmoid", "softmax", "softmax slope", "relu", "missing path", "upstream ignored", "mask", "dropout mask",
        "dropout scale",
        "scale", "mean missing", "gates", "epsilon",
    },
    "missing term": {
        "tanh", "sigmoid", "relu", "local derivative", "wrong array", "gates", "missing factor", "factor", "doubled",
        "missing path", "regularisation", "dh_next", "dc_next", "softmax", "softmax slope", "target", "recurrent", "sum",
        "epsilon",
    },
    "missing path": {"regularisation", "dh_next", "dc_next", "softmax", "softmax slope", "target", "recurrent", "gates"},
    "missing factor": {
        "mask", "dropout mask", "dropout scale", "tanh", "sigmoid", "relu", "softmax", "softmax slope", "upstream ignored",
        "gates",
        "local derivative", "scale", "missing factor", "missing path",
    },
    "round left out": {"dropped step", "off by one", "padding", "stride", "dropped round"},
    "round too many": {"step twice", "off by one"},
    "index by one": {"off by one", "h_t", "c_t", "h_{t−1}", "dropped step", "step twice", "wrong rows", "argmax", "padding"},
    "sum": {"softmax", "softmax slope", "batch sum", "wrong axis", "missing path"},
    "off by one": {"dropped step", "step twice", "h_t", "c_t", "wrong rows", "stride", "padding"},
    "too much": _OF_WHAT_IS_THERE,
    "another's gradient": {"h_t", "c_t", "off by one", "gates", "relu", "order", "target", "missing path", "recurrent"},
}  # fmt: skip


#: What a mend shows that may be an accident of algebra: only if the numbers do not speak for something else.
_NEEDS_AGREEMENT = {"local derivative", "missing path"}


def at_odds(shown: str, named: str) -> bool:
    """Whether a mend speaks for one cause and the numbers for another, so that neither is certain."""
    if not named or named == shown or shown not in _NEEDS_AGREEMENT:
        return False
    return named not in REFINED_BY.get(shown, ()) and shown not in REFINED_BY.get(named, ())


#: What is said of a mend after a colon is the mend itself.
_SHOW_THE_MEND = {
    "wrong name",
    "wrong place",
    "wrong number",
    "wrong function",
    "untransposed",
    "exchanged",
    "other function",
}


def without_mend(words: str) -> str:
    """The words of a cause for those who are to find the mend themselves."""
    return words.partition(":")[0] if key_of(f"consistent with {words}") in _SHOW_THE_MEND else words


def key_of(sentence: str) -> str:
    """The key of the cause that a sentence is consistent with; "" if it has none. The longest wording that fits."""
    _, found, words = sentence.partition("consistent with ")
    known = {key: text.split("{")[0].rstrip() for key, text in CAUSES.items()}
    fits = [key for key, text in known.items() if found and text and words.startswith(text)]
    return max(fits, key=lambda key: len(known[key]), default="")


def cause(key: str, **details: str) -> str:
    """The words for a cause, to follow "consistent with"; ``details`` fill its gaps, and are empty if they are not known."""

    class Known(dict):
        def __missing__(self, name: str) -> str:
            return ""

    return CAUSES[key].format_map(Known(details))
