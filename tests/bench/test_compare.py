"""Two runs against each other: verdicts that know their noise."""

import pytest

from scratchlv.bench import compare, rows
from scratchlv.bench.timing import Timing
from scratchlv.errors import UserError

from .examples import around, document, timed


@pytest.mark.parametrize(
    ("then", "now", "again", "said"),
    [
        (around(1.0), around(1.0), None, "within noise"),
        (around(1.0), around(1.025), None, "within noise"),  # bands apart, but by less than any two runs differ
        (around(1.0), around(1.5), around(1.5), "slower, 1.50x"),
        (around(1.5), around(1.0), around(1.0), "faster, 1.50x"),
        (around(1.0), around(1.5), around(1.0), "did not confirm"),
        (around(1.0), around(1.5), around(0.5), "did not confirm"),  # now it is faster: neither is believed
        (Timing(1.0, 0.99, 1.2, 0.9, 9), Timing(1.3, 1.15, 1.31, 1.1, 9), None, "within noise"),  # their bands overlap
        (around(1.0, spread=0.3), around(1.5), around(1.5), "within noise (±60%)"),
    ],
)
def test_a_verdict_knows_its_noise(then, now, again, said):
    assert said in compare.judge(then, now, None if again is None else lambda: again)[1]


def test_only_rows_of_the_same_work_are_compared():
    before = document(timed(1.0), timed(1.0, "adam"), timed(1.0, shapes="x (5, 4)"))
    now = [rows.Measured(timed(2.0), lambda: around(2.0)), rows.Measured(timed(1.0, "lstm"))]
    (line,) = compare.compare(before, now)
    assert "relu numba_cpu forward" in line
    assert "slower, 2.00x" in line
    (nothing,) = compare.compare(document(timed(1.0, "adam")), now)
    assert "no row" in nothing


def test_the_largest_change_comes_first():
    before = document(timed(1.0), timed(1.0, "adam"))
    now = [rows.Measured(timed(1.1)), rows.Measured(timed(3.0, "adam"))]
    assert [line.split()[0] for line in compare.compare(before, now)] == ["adam", "relu"]


def test_another_machine_is_named():
    before, now = document(), document()
    assert list(compare.differences(before, now)) == []
    before["machine"] |= {"threads": 64, "processor": "abacus"}
    before["ceilings"]["peak_gflops"] /= 2
    sentences = "\n".join(compare.differences(before, now))
    for part in ("threads was 64", "processor was abacus", "peak_gflops was 50.0, and is 100.0"):
        assert part in sentences


@pytest.mark.parametrize("text", ["{", "[]", '{"scratchlv_bench": 0}', None])
def test_what_is_no_run_cannot_be_compared(tmp_path, text):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"run\.json .*--json"):
        compare.read(path)
