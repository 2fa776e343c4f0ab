"""Letters with accents, and where a line of text is put."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.show.lettering import lettering, write


@pytest.mark.parametrize(
    ("accented", "plain"), [("é", "e"), ("à", "a"), ("ê", "e"), ("Ü", "U"), ("ñ", "n"), ("å", "a")]
)
def test_an_accent_is_above_its_letter(accented, plain):
    with_accent, without = (np.asarray(lettering(f"x{c}x", 40), int) for c in (accented, plain))
    assert with_accent.shape == without.shape
    rows, columns = np.nonzero(np.abs(with_accent - without) > 60)
    letter = np.flatnonzero((without > 60)[:, without.shape[1] // 3 : -without.shape[1] // 3].any(axis=1))
    assert rows.size and rows.max() <= letter.min()
    assert abs(columns.mean() - without.shape[1] / 2) < 3


def test_a_cedilla_is_below_and_the_dot_of_an_i_gives_way():
    with_cedilla, c = (np.asarray(lettering(text, 40), int) for text in ("ç", "c"))
    rows, _ = np.nonzero(np.abs(with_cedilla - c) > 60)
    assert rows.min() >= np.flatnonzero((c > 60).any(axis=1)).max() - 1
    circumflex, dotted = (np.asarray(lettering(text, 40), int) for text in ("î", "i"))
    assert (dotted - circumflex > 100).any()  # ink that is gone


def test_other_letters_are_spelt_and_forms_are_one():
    for written, spelt in (("œuf", "oeuf"), ("Straße", "Strasse"), ("l’eau", "l'eau")):
        np.testing.assert_array_equal(lettering(written, 20), lettering(spelt, 20))
    np.testing.assert_array_equal(lettering("é", 20), lettering("e\N{COMBINING ACUTE ACCENT}", 20))


@pytest.mark.parametrize("text", ["", " ", "\N{COMBINING ACUTE ACCENT}", "日本", "a\N{COMBINING ENCLOSING CIRCLE}"])
def test_strange_texts(text):
    mask = lettering(text, 16)
    assert mask.mode == "L" and mask.height == 24 and mask.width >= 1


def test_acute_and_grave_lean_as_they_should():
    for letter, bare, sign in (("é", "e", -1), ("è", "e", 1)):
        rows, columns = np.nonzero(np.asarray(lettering(letter, 40), int) - np.asarray(lettering(bare, 40), int) > 100)
        assert np.sign(np.corrcoef(rows, columns)[0, 1]) == sign


@pytest.mark.parametrize("horizontal", "lmr")
@pytest.mark.parametrize("vertical", "tms")
def test_a_line_stands_where_its_anchor_says(horizontal, vertical):
    image = Image.new("L", (200, 100), 255)
    write(image, (100, 50), "H", 0, 40, horizontal + vertical)
    rows, columns = np.nonzero(np.asarray(image) < 128)
    at = {"l": columns.min(), "m": (columns.min() + columns.max()) / 2, "r": columns.max()}[horizontal]
    assert abs(at - 100) < 5  # a letter keeps a little distance to its neighbours
    level = {"t": rows.min(), "m": (rows.min() + rows.max()) / 2, "s": rows.max()}[vertical]
    assert abs(level - 50) < 3
