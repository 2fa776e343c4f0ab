"""Lines of text that fit."""

from scratchlv.show import clip, text_width, wrap


def test_wrapping():
    text = "a small red circle at the top left and a large blue square on the right"
    lines = wrap(text, 120, 15)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(text_width(line, 15) <= 120 for line in lines)
    assert wrap("", 100, 15) == []
    long = wrap("a " + "x" * 200, 100, 15)
    assert len(long) == 2 and long[1].endswith("...") and text_width(long[1], 15) <= 100
    assert clip("short", 200, 15) == "short"
