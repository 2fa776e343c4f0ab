"""How figures are told."""

from scratchlv.bench.text import aligned, brief, rounded


def test_columns_are_as_wide_as_their_widest_cell():
    assert aligned([("name", "ms"), ("a", "10.5"), ("bcdef", "7")], left=(0,)).splitlines() == [
        "name     ms",
        "a      10.5",
        "bcdef     7",
    ]


def test_about_four_digits():
    assert [brief(value) for value in (0.0123456, 12.3456, 1234.56, 1.23456e6, 1.23456e8)] == [
        "0.01235",
        "12.35",
        "1235",
        "1234560",
        "1.235e+08",
    ]
    assert rounded(1234.56) == 1235
