"""What a bug is called: for each kind, what a sentence that names it speaks of. The patterns are about meaning, and generous."""

from __future__ import annotations

import re

KINDS = {
    # factors
    "mean missing": r"(\bmean|averag|divi[ds]\w*|1/\w).*(missing|forg[eo]t|absent|\bnot\b|lack|without|\bno\b)"
    r"|(missing|forg[eo]t|\bno\b|lack|without|\bnot\b).*(\bmean\b|averag|divi[ds]|1/)|sum (for|where|instead of) a mean",
    "mean twice": r"(\bmean|averag|divi[ds]\w*|1/\w).*(twice|too (many|often|much)|again|double|once more|extra|a sum|already)",
    "factor": r"(constant|missing|extra|wrong) factor|twice|doubled|1/2|½|\bhalf\b|factor (of )?\d|added twice",
    "missing factor": r"factor|multipl|\btimes\b|scale",
    "sign": r"\bsigns?\b|\bnegat|\bminus\b|opposite",
    "scale": r"√|sqrt|\bscal|temperature",
    "learning rate": r"learning rate|step size",
    "upstream ignored": r"upstream|output gradient|incoming|\bdy\b.*(missing|\bnot\b|ignor)"
    r"|ignores? (dy|dout|dloss)|d(out|loss)\b",
    "regularisation": r"regulari[sz]|penalty|decay|\bL2\b|λ|lambda",
    "target": r"target|one-hot|label",
    # products and sums
    "transposed": r"transpos|factors .*(exchang|swap|wrong (way|order))|(exchang|swap)\w* .*factors|wrong way round",
    "W for Wᵀ": r"W\w*ᵀ|\.T\b|transpos|Wᵗ",
    "batch sum": r"(missing|wrong|not|without|lack|no|only|one|first|last|single)\b.*(\bsum|batch|example|reduc)"
    r"|(\bsum\w*|reduc\w*).*(missing|forg[eo]t|lack)|not summed|batch sum",
    "wrong axis": r"\baxis\b|\baxes\b|(\bsum|\bmean|softmax)\w* (over|along|across)",
    # time
    "recurrent": r"recurren|through time|back in time|dh_?next|dc_?next|step to step",
    "dh_next": r"dh\w*_?next|dh_?prev|recurren|through time|(next|later|following) steps?|state.*(dropped|passed|carried)",
    "dc_next": r"dc\w*_?next|dc_?prev|cell.*(dropped|passed|carried|path|recurren)|\bdc\b.*(dropped|missing)",
    "= for +=": r"(?<!\+)= (for|instead of|where|in place of) .*\+=|\+=(?!.*add\.at)|overwrit|accumulat",
    "h_t": r"\bh_\{?t|h_?prev|prev_h|\bhs?\[|hidden state|(old|new|previous|next|wrong) state|state (before|after|of the step)",
    "c_t": r"\bc_\{?t|c_?prev|prev_c|\bcs?\[|cell state|(old|new|previous|next|wrong) cell|cell (before|after|of the step)",
    "off by one": r"off[ -]by[ -]one|shift|step (before|after|early|late|too)|neighbour|t ?[-−+] ?1"
    r"|(previous|next) (one|step|place)",
    "dropped step": r"(step|row|position|example|iteration|window|hop|place|word|element)s?\b"
    r".*(dropp|missing|left out|skipp|never|not)"
    r"|(drop|skip|leav|miss)\w* .*(step|row|position|example|iteration|loop|range|word)|(loop|range).*(start|end|stop|short)",
    "step twice": r"twice|doubl|two times|counted again",
    "gates": r"\bgates?\b.*(swap|exchang|permut|mix|order|\bfor\b)|(swap|exchang|permut|mix|other|another)\w*\b.*\bgates?\b",
    "reversed": r"revers|turned|backwards|(other|wrong) (end|direction)|order of|wrong order|flip",
    # local derivatives
    "local derivative": r"derivative|slope|chain rule|\bpower|exponent",
    "tanh": r"tanh",
    "sigmoid": r"σ|sigmoid|logistic",
    "softmax": r"softmax|jacobian|\bdiagonal",
    "relu": r"relu|rectif|> ?0\b|positive (side|part)|wrong (mask|condition)|masked by",
    "epsilon": r"\beps\b|epsilon|ε",
    # paths
    "missing path": r"\bpath|(term|part|branch|contribution|route)s?\b.*(missing|dropp|forg[eo]t|lack|left out|not)"
    r"|(missing|dropp|forg[eo]t|lack|without|no)\w* .*\b(term|part|branch|contribution|use)|through|second use",
    "wrong array": r"wrong (array|variable|operand|factor)|another (array|variable)"
    r"|(used|taken|stands?) (for|where|instead|in place)|instead of|in place of|\bwith \S+ for \S+",
    # places
    "repeated rows": r"add\.at|repeat|duplicat|(same|equal) (row|ind)|several times",
    "wrong rows": r"(wrong|other|another|shifted|different|mixed) (row|place|ind|example|position|element|column|slice|word)"
    r"|\b(rows|places|indices|columns|examples)\b.*(wrong|shift|exchang|swap|permut|mix|order)",
    "mask": r"\bmask|padding|padded|lengths|past the end",
    "mask in the mean": r"(mask|padding|length|wrong number).*(\bmean|normalis|divi[ds]|count|averag)"
    r"|(\bmean|normalis|divi[ds]|count|averag).*(mask|padding|length|wrong number|valid|too many)",
    "dropout mask": r"dropout|\bmask",
    "dropout scale": r"1 ?/ ?\(1 ?[-−] ?p\)|dropout.*(scal|factor|rate|probab)|keep|(scal|factor).*dropout",
    "stride": r"\bstride",
    "padding": r"padding|\bpad\b|padded|border|crop|cut off",
    "kernel not flipped": r"flip|rotat|mirror|revers",
    "argmax": r"\bmax|argm|winner|largest",
    "ties": r"\bties?\b|\btied\b|equal (element|value|place)|(all|every|each|several) .*maxim",
    # the call
    "order": r"\border\b|swapp|exchang|permut",
    "another's gradient": r"gradient of|another|swapp|exchang|belongs",
    "shape": r"shape|\bNone\b|scalar|keepdims|broadcast|returns \d|should return",
    "layout": r"reshape|layout|\baxes\b|transpos|permut|wrong (order|place)|mixed",
    "random": r"random|\bseed|frozen|two runs|drawn",
    "mutated": r"in place|mutat|chang|modif|alter",
    "aliased": r"alias|\bcopy|copie|in place|\bchang|same (array|memory)|overwrit|\bview",
    "float32": r"float32|single precision|\bf4\b|precision",
}

# Of these a sentence speaks in passing: alone they do not make it a wrong name.
LOOSE = {
    "missing factor",
    "factor",
    "scale",
    "step twice",
    "wrong array",
    "local derivative",
    "reversed",
    "layout",
    "shape",
    "order",
    "wrong axis",
}

# Kinds whose name is made of code; for the others, quoted code is no name.
_CODE = {
    "= for +=",
    "W for Wᵀ",
    "h_t",
    "c_t",
    "off by one",
    "repeated rows",
    "wrong axis",
    "random",
    "float32",
    "epsilon",
}

_SLOPES = ("tanh", "sigmoid", "softmax")  # a sentence that lists all of them names none

_VAGUE = re.compile(r"no known signature|nothing (known )?fits|cause (is )?unknown", re.IGNORECASE)


def names(sentence: str, kind: str) -> bool:
    """Does the sentence name a bug of this kind?"""
    if _VAGUE.search(sentence):
        return False
    if kind in _SLOPES and all(re.search(KINDS[slope], sentence, re.IGNORECASE) for slope in _SLOPES):
        return False
    text = sentence if kind in _CODE else re.sub(r"`[^`]*`", "`…`", sentence)
    return re.search(KINDS[kind], text, re.IGNORECASE) is not None


def verdict(said: list[str], kinds: tuple[str, ...]) -> str:
    """One of "named first", "named later", "misnamed" or "vague", by the sentences and what the bug may be called."""
    if said and any(names(said[0], kind) for kind in kinds):
        return "named first"
    if any(names(sentence, kind) for sentence in said for kind in kinds):
        return "named later"
    wrong = said and any(names(said[0], kind) for kind in KINDS if kind not in LOOSE)
    return "misnamed" if wrong else "vague"


def numbers(text: str) -> set[int]:
    """The numbers of lines that a text speaks of: "line 12", "lines 3, 4 and 7", "lines 3-5", "lstm.py:12"."""
    found = {int(n) for n in re.findall(r"\.py:(\d+)", text)}
    for listed in re.findall(r"\blines? ((?:\d+(?:, | and | or |[-–]| to )?)+)", text):
        found |= {int(n) for n in re.findall(r"\d+", listed)}
        for start, stop in re.findall(r"(\d+)(?:[-–]| to )(\d+)", listed):
            found |= set(range(int(start), int(stop) + 1))
    return found
