"""``scratchlv gradcheck``: its rows, its verdict, and what it says to names that do not exist."""

import io
import json

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.gradcheck import command


def test_the_command_prints_a_row_per_case_and_json_last():
    out = io.StringIO()
    assert command.run(["linear", "adam"], "reference", True, out) == 0
    *lines, last = out.getvalue().splitlines()
    rows = [line for line in lines if line.split()[:2] == ["right", "linear"]]
    cases = ops.linear.room.cases(np.random.default_rng(0)).values()
    assert len(rows) == sum(case["x"].size > 0 for case in cases)  # of an empty batch there is nothing to compare
    assert lines[-1].startswith(f"{len(rows)} right, 0 WRONG, {len(cases) - len(rows) + 1} not checked, in ")
    assert any(line.split()[:3] == ["not", "checked", "adam"] for line in lines)
    result = json.loads(last)
    assert result["status"] == 0
    assert result["reports"][0]["gradients"][0]["name"] == "dx"


@pytest.fixture
def one_case(monkeypatch):
    """Of linear's cases the first: the others are diagnosed in the same way."""
    room, cases = ops.linear.room, ops.linear.room.cases
    monkeypatch.setattr(room, "cases", lambda rng: dict([next(iter(cases(rng).items()))]))


def test_the_command_fails_on_a_wrong_gradient(monkeypatch, one_case):
    reference = ops.linear.variant("reference")
    right = reference.backward

    def flipped(dy, cache):
        dx, dW, db = right(dy, cache)
        return -dx, dW, db

    monkeypatch.setattr(reference, "backward", flipped)
    out = io.StringIO()
    assert command.run(["linear"], "reference", True, out) == 1
    text = out.getvalue()
    assert "WRONG" in text
    assert "every gradient is right: consistent with a sign that is flipped" in text
    assert json.loads(text.splitlines()[-1])["status"] == 1


def test_json_survives_nan(monkeypatch, one_case):
    reference = ops.linear.variant("reference")
    monkeypatch.setattr(reference, "backward", lambda dy, cache: (dy @ cache.W.T * np.nan, cache.x.T @ dy, dy.sum(0)))
    out = io.StringIO()
    assert command.run(["linear"], "reference", True, out) == 1
    json.loads(out.getvalue().splitlines()[-1], parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("names", "variant", "message"),
    [
        (["convolution"], None, "no operation 'convolution'; there are .*conv2d"),
        (["linear"], "cuda13", "no variant 'cuda13' of linear; there are cuda, numba_cpu, reference"),
    ],
)
def test_unknown_names_list_what_exists(names, variant, message):
    with pytest.raises(UserError, match=message):
        command.run(names, variant, False, io.StringIO())


def rows(*arguments, **options):
    """The rows of a table, each a list of words, without its heading and its last line."""
    out = io.StringIO()
    command.run(*arguments, False, out, **options)
    return [line.split() for line in out.getvalue().splitlines()[1:-1]]


def test_by_default_the_reference_and_the_cpu_are_checked():
    out = io.StringIO()
    command.run(["relu"], None, False, out)
    assert {variant for variant in ("reference", "numba_cpu", "cuda") if f"  {variant}  " in out.getvalue()} == {
        "reference",
        "numba_cpu",
    }


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("lstm", "h c dx dh0 dc0 dWx dWh db"),
        ("additive_attention", "z alpha dx dkeys dquery dv"),
        ("attention_lstm", "h z alpha dwords dx dkeys dh0 dc0 dWq dv dWx dWh db"),
        ("relu", "y dx"),
    ],
)
def test_outputs_are_called_by_their_names(name, names):
    assert rows([name], "numba_cpu")[0][-len(names.split()) :] == names.split()


def test_a_row_is_printed_as_soon_as_it_is_known(monkeypatch):
    printed = []

    class Out(io.StringIO):
        def write(self, text):
            printed.append(text)
            return super().write(text)

    def checks(*arguments, **options):
        for report in real(*arguments, **options):
            yield report
            assert any(report.case in text for text in printed)

    real = command.check_cases
    monkeypatch.setattr(command, "check_cases", checks)
    assert command.run(["linear"], "reference", False, Out()) == 0


def test_one_numbered_version_is_the_one_that_runs(monkeypatch):
    from scratchlv.cuda import versions

    asked = []
    real = versions.version
    monkeypatch.setattr("scratchlv.kernels.relu.cuda.version", lambda had: asked.append(real(had)) or asked[-1])
    for number in (1, 2):
        asked.clear()
        assert {" ".join(row[2:4]) for row in rows(["relu"], "cuda", version=number)} == {f"cuda {number}"}
        assert set(asked) == {number}


@pytest.mark.parametrize(
    ("names", "variant", "version", "message"),
    [
        (["matmul"], None, 1, "--version 1 is one of a variant's: say which, --variant cuda"),
        (["matmul"], "cuda", 99, "no version 99 of the variant cuda: matmul has 1, 2, "),
        (["relu"], "numba_cpu", 1, "no version 1 of the variant numba_cpu: relu has none"),
    ],
)
def test_a_version_that_is_not_there_lists_those_that_are(names, variant, version, message):
    with pytest.raises(UserError, match=message):
        command.run(names, variant, False, io.StringIO(), version=version)


def test_operations_without_that_version_are_left_out_which_is_told(capsys):
    assert {row[1] for row in rows(["relu", "tanh"], "cuda", version=2)} == {"relu"}
    assert capsys.readouterr().err == "note: left out, without a version 2 of cuda: tanh\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_nothing_is_cut_off_on_a_narrow_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    wide, narrow = io.StringIO(), Terminal()
    for out in (wide, narrow):
        command.run(["relu", "tanh"], "reference", False, out)
    table, folded = (out.getvalue().splitlines()[:-1] for out in (wide, narrow))
    assert " ".join(folded).split() == " ".join(table).split()
    assert max(map(len, folded)) <= columns
    begins = [line[:13].rstrip() for line in folded if line[:1] != " "]
    assert begins == [line[:13].rstrip() for line in table]  # each verdict stands whole, at the beginning of a line
