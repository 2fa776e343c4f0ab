"""``doctor``."""

from scratchlv.cli import main


def test_doctor_says_what_runs_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("numpy", "additive_attention", "numba_cpu", "GPU", "EfficientNet-Lite0", "compiled kernels"):
        assert part in said
