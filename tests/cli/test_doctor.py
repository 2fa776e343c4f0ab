"""``doctor``."""

import pytest

from scratchlv.cli import main


def test_doctor_says_what_runs_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("numpy", "additive_attention", "numba_cpu", "GPU", "EfficientNet-Lite0", "compiled kernels"):
        assert part in said


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"mine": 0}, "none yet; the first run compiles them, once, into mine ("),
        ({"mine": 46}, "46 kept in mine ("),
        (
            {"shared": 40, "tmp": 0},
            "40 in shared, which is read-only; what is missing there is compiled, once, into tmp (",
        ),
        ({"shared": 40, "tmp": 6}, "40 in shared, which is read-only; 6 kept in tmp ("),
    ],
)
def test_doctor_says_how_many_kernels_are_kept_and_where(kept, said, monkeypatch, capsys):
    monkeypatch.setattr("scratchlv.kernels.building_blocks.kernel_cache.kept", lambda: kept)
    main(["doctor"])
    assert f"compiled kernels: {said}" in " ".join(capsys.readouterr().out.split())
