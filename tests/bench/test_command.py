"""The command: what it prints and writes, and what it says of mistakes before it begins."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from scratchlv import ops
from scratchlv.bench import ceilings, command, machine, rows
from scratchlv.errors import UserError


def test_what_it_prints_and_writes(small, tmp_path, capsys):
    out, drawn = tmp_path / "run.json", tmp_path / "roofline.svg"
    assert command.run(["relu", "adam"], out, None, drawn) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.err
    for part in (machine.blas(), "GFLOP/s", "reference", "numba_cpu", "forward", "backward", "step", "x (3, 1024)"):
        assert part in said.out
    written = json.loads(out.read_text("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert written["machine"].keys() >= {"processor", "threads", "blas", "numpy", "commit", "date", "OPENBLAS_CORETYPE"}
    assert written["ceilings"]["peak_gflops"] == 100
    assert not written["interrupted"]
    assert {row["operation"] for row in written["rows"]} == {"relu", "adam"}
    for row in written["rows"]:
        assert {"shapes", "dtype", "warm", "cold", "gflops", "gbs", "intensity", "share", "compiled"} <= row.keys()
        assert row["warm"].keys() == {"median", "p20", "p80", "least", "samples"}
    assert len(written["curves"]["relu"]["backward"]) == 2
    ElementTree.fromstring(drawn.read_text("utf-8"))
    assert command.run(["relu"], None, out) == 0
    assert "relu numba_cpu backward" in capsys.readouterr().out


def test_one_version_alone_is_checked_and_timed(small, tmp_path, capsys):
    assert (
        command.run(["matmul"], tmp_path / "run.json", None, tmp_path / "roofline.svg", variant="numba_cpu", number=4)
        == 0
    )
    (row,) = json.loads((tmp_path / "run.json").read_text("utf-8"))["rows"]
    assert (row["version"], row["part"]) == ("4 register tiles", "forward")
    assert row["warm"]["samples"] > 0
    assert "4 register tiles" in (tmp_path / "roofline.svg").read_text("utf-8")
    assert "reference" not in capsys.readouterr().out


def test_a_version_that_is_wrong_is_not_timed(small, monkeypatch, tmp_path, capsys):
    versions = {"1 right": lambda a, b: a @ b, "2 wrong": lambda a, b: a + b}
    monkeypatch.setattr("scratchlv.kernels.matmul.versions.VERSIONS", versions)
    assert command.run(["matmul", "relu"], variant="numba_cpu", number=1) == 0
    assert command.run(["matmul"], tmp_path / "run.json", variant="numba_cpu", number=2) == 1
    (row,) = json.loads((tmp_path / "run.json").read_text("utf-8"))["rows"]
    assert row["warm"] is None
    assert "WRONG: matmul 2 wrong" in capsys.readouterr().out


def test_one_variant_alone_is_timed(small, tmp_path):
    assert command.run(["relu", "adam"], tmp_path / "run.json", variant="reference") == 0
    assert {row["version"] for row in json.loads((tmp_path / "run.json").read_text("utf-8"))["rows"]} == {"reference"}


def test_a_wrong_kernel_ends_in_status_1(small, monkeypatch, capsys):
    monkeypatch.setattr(ops.relu.variant("numba_cpu"), "backward", lambda dy, cache: (dy,))
    assert command.run(["relu"]) == 1
    assert "WRONG: relu numba_cpu: dx: error" in capsys.readouterr().out


def test_what_exceeds_the_ceiling_is_said(small, monkeypatch, capsys):
    monkeypatch.setattr(rows.Row, "share", 0.99)
    assert command.run(["relu"], variant="numba_cpu") == 0
    assert "EXCEEDS" not in capsys.readouterr().out
    monkeypatch.setattr(rows.Row, "share", 1.2)
    assert command.run(["relu"], variant="numba_cpu") == 0
    assert "EXCEEDS THE CEILING, which is too low then: relu numba_cpu forward: 120%" in capsys.readouterr().out


def test_an_interrupted_run_writes_what_it_has(small, monkeypatch, tmp_path, capsys):
    measure = rows.measure

    def pressed(name, *arguments, **settings):
        yield next(measure(name, *arguments, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "measure", pressed)
    assert command.run(["relu", "adam"], tmp_path / "run.json") == 130
    written = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert written["interrupted"]
    assert [row["operation"] for row in written["rows"]] == ["relu"]
    assert "interrupted" in capsys.readouterr().out


def test_mistakes_are_found_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(ceilings, "measure", lambda: pytest.fail("it began"))
    with pytest.raises(UserError, match="no operation 'lsmt'; there are matmul"):
        command.run(["lsmt"])
    with pytest.raises(UserError, match="no variant 'gpu'"):
        command.run(["lstm"], variant="gpu")
    with pytest.raises(UserError, match="--version 1 is one of a variant's: say which, --variant cuda"):
        command.run(["matmul"], number=1)
    with pytest.raises(UserError, match="no version 1 of the variant numba_cpu: lstm has none; relu has none"):
        command.run(["lstm", "relu"], variant="numba_cpu", number=1)
    for option in (0, 1):
        for path in (tmp_path, tmp_path / "no" / "run.json"):
            files = [None, None]
            files[option] = path
            with pytest.raises(UserError, match="cannot be written"):
                command.run(["relu"], files[0], None, files[1])
    with pytest.raises(UserError, match="cannot be read"):
        command.run(["relu"], None, tmp_path / "absent.json")
