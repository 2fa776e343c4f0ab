r"""Captions cut into words as COCO's evaluation cuts them, so that figures can stand beside published ones.

The evaluation (Chen et al., "Microsoft COCO Captions", 2015; the package pycocoevalcap) runs Stanford's PTBTokenizer 3.4.1,
a Java program, with ``-lowerCase``, and then leaves out punctuation. This is the same cut, without Java: on all 35,000
captions of Flickr8k it gives the same words. What that means, and what one may trip over:

    a man's dog, isn't it?         a man 's dog is n't it          clitics are words (Penn Treebank)
    I cannot; they're gonna        i can not they 're gon na
    a black-and-white T-shirt      a black-and-white t-shirt       hyphens stay inside words, and so do slashes
    the U.S. at 5:30 p.m.          the u.s. at 5:30 p.m.           abbreviations keep their period; a word loses it …
    the letter b.                  the letter b.                   … but a single letter keeps it, at an end, too
    a man (with "a" hat) …         a man -lrb- with a hat -rrb-    brackets are not left out: the list has them in capitals
    STOP!! only $5                 stop !! only $ 5                nor are runs of marks, and signs
"""

from __future__ import annotations

import functools
import re

from scratchlv.data.text import marks

#: What is left out. The evaluation's list has brackets, too, but in capitals: after -lowerCase they stay.
_PUNCTUATION = frozenset("\"'`‘’“”«»‹›–—―‐‑…,.;:!?-")
#: what is written otherwise
_SIGNS = {
    **{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"},
    **{"€": "$", "£": "#", "¢": "cents"},
}
_INSTEAD = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " ", "&amp;": "&"}
_INSTEAD |= {"½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 "}

_TITLES = """
    mr mrs ms messrs dr drs prof gen rep reps sen sens gov lt col capt cpl sgt maj pvt pfc spc adm cmdr comdr rev hon pres supt
    st ste mt ft rd blvd ave sq ct bldg inc co corp ltd bros assn dept univ intl natl jr sr esq md est ext tel adj adv det
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri etc vs cf al
    calif conn fla mich penn ala ariz colo ga ind kan ky mo mont neb nev okla tenn va vt wis wyo
"""
_STATES = "mass ill tex wash ark del la miss ore"  # only with a capital: in lower case they are words
_BEFORE_NUMBERS = "no nos fig figs pp art prop"  # only where a number follows
#: written as one word, said as two
_TWO_WORDS = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "lemme": ("lem", "me"),
    "gimme": ("gim", "me"),
    "'tis": ("'t", "is"),
    "'twas": ("'t", "was"),
}


def ptb_words(caption: str) -> list[str]:
    """The words of a caption as COCO's evaluation counts them: lower case, without punctuation.

    >>> ptb_words("A man's black-and-white dog doesn't jump (yet).")
    ['a', 'man', "'s", 'black-and-white', 'dog', 'does', "n't", 'jump', '-lrb-', 'yet', '-rrb-']
    """
    words: list[str] = []
    if "&" in caption or not caption.isascii():
        for written, meant in _INSTEAD.items():
            caption = caption.replace(written, meant)
    for match in _pattern().finditer(caption):
        token = match.group().lower().replace("’", "'")
        if match.lastgroup == "negated":
            words += (token[:-3], token[-3:])
        elif match.lastgroup == "sign":
            token = _SIGNS.get(token, token)
            words += [] if token in _PUNCTUATION else token.split()
        elif match.lastgroup == "smiley":
            words.append("".join(_SIGNS.get(c, c) for c in token))
        else:
            words += _TWO_WORDS.get(token) or token.split()
    return words


@functools.cache
def _pattern() -> re.Pattern[str]:
    """What a caption is made of; of several alternatives the first that fits."""
    letter, mark, quote = r"[^\W\d_]", marks(), "['’]"
    part = rf"(?:[^\W_][{mark}]*)+"  # letters and digits, with their marks
    begins, ends = r"(?<![^\W_])", r"(?![^\W_])"  # of a word
    joins = rf"(?:-|/|_+|(?<={letter})[.?!](?={letter})|(?<=[A-Z])&(?=[A-Z]))"
    # an apostrophe between two vowels (ma'am) or after one letter (o'clock, hors d'oeuvres, O'Neil) is part of the word
    clitic = rf"{quote}(?i:s|m|d|ll|re|ve){ends}"
    one, two = rf"(?:[A-Z]|[ldjo]){quote}(?={letter}{{2}})", rf"{letter}+[aeiouAEIOUY]{quote}(?=[aeiouA-Z]{letter})"
    name = rf"(?![^\W_]+{clitic})(?:{one}|{two})"
    word = rf"(?:{name})?{part}(?:{joins}{part})*"
    state = "|".join(rf"{state.capitalize()}|{state.upper()}" for state in _STATES.split())
    wholes = (
        r"</?[A-Za-z!?][^<>]*>",  # a tag, such as <unk>
        r"https?://[^\s\"<>|(){}]*[^\s\"<>|(){}.,!?-]",
        r"[\w.+-]+@[\w.-]*\w",
        r"@[A-Za-z_]\w*|#[A-Za-z_]+|&#\d+;",
        rf"{begins}[A-Za-z](?:\.[A-Za-z])+{ends}(?:\.(?!\w))?(?:\.?-{part})*",  # p.m., U.S.-based
        rf"{begins}(?:[A-Za-z]|(?i:{_any(_TITLES)})|{state})\.{ends}",
        rf"{begins}(?i:{_any(_BEFORE_NUMBERS)})\.(?=\s+\d)",
        rf"{begins}{quote}(?:(?i:em|till?|cause)|\d0s|\d\d){ends}|{quote}n(?:{quote}|{ends})",  # 'em, '90s, rock'n'roll
        rf"(?i:c{quote}mon|n?e{quote}er|li{quote}l|ev{quote}ry|nor{quote}easter|ol{quote}){ends}|(?i:y{quote}(?=all))",
        rf"{begins}(?i:{'|'.join(each.replace(chr(39), quote) for each in _TWO_WORDS)}){ends}",
        rf"{clitic}|(?i:n{quote}t){ends}",
        rf"{begins}[-+]?\d*(?:[.,:]\d+)+(?:-{part})*|{begins}[-+]\d+(?:[-/]{part})*",  # 1,000, 12:30, 4.5-inch, -5
        r"[?!]{2,}|\*+|_+",
    )
    negated = rf"{word}(?<=n){quote}t{ends}"
    return re.compile(
        rf"(?P<plain>[A-Za-z]+(?=\s|$))|(?P<smiley>{begins}[<>]?[:;=][-'o]?[()DPp]{ends})|(?P<whole>{'|'.join(wholes)})"
        rf"|(?P<negated>(?i:{negated}))|(?P<word>{word})|(?P<sign>\S)"
    )


def _any(words: str) -> str:
    return "|".join(sorted(words.split(), key=len, reverse=True))
