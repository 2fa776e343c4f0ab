"""The verdict: its stages, what it says, and that it depends on nothing but numbers. Most of it asks the file in this process."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import child, grading, guard, launching, wire
from scratchlv.exercises.process import Limits, Raised, Trouble
from tests.exercises import examples
from tests.exercises.examples import FORWARD, RIGHT

DX, DW = "3 * w * x**2 * dy", "(x**3 * dy).sum(axis=0)"
SLOPES = """
def slopes(function, x, dy):
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        more, less = x.copy(), x.copy()
        more[i] += 1e-5
        less[i] -= 1e-5
        found[i] = ((function(more) - function(less)) / 2e-5 * dy).sum()
    return found

def backward(dy, cache):
    x, w = cache
    return slopes(lambda x: forward(x, w)[0], x, dy), slopes(lambda w: forward(x, w)[0], w, dy)
"""


class Here:
    """Stands for the learner's process: it answers here, through the same messages, and fences nothing."""

    printed, scratch = "", ""

    def __init__(self, path, kind, *them, **more):
        settings = {"path": str(path), "kind": kind, "guarded_import": True, "imports": ["numpy"], "launch": ""}
        self.server = child.Server(settings, wire, guard, launching, [])

    def __enter__(self):
        return self

    def __exit__(self, *them):
        sys.modules.pop("exercise_of_a_learner", None)

    def ask(self, do, seconds=None, **arguments):
        request = wire.decode(wire.encode({"do": do, "with": arguments}))
        reply = wire.decode(child.message(self.server, wire, request))
        if "error" in reply:
            raise Raised(**reply["error"])
        return reply["value"]


@pytest.fixture
def exercise(tmp_path):
    return examples.make(tmp_path)


@pytest.fixture
def judged(exercise, tmp_path, monkeypatch):
    """The verdict on a text; with ``apart``, in a process of its own."""

    def judge(text, of=None, apart=False, **more):
        path = tmp_path / "01_cubes.py"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with monkeypatch.context() as patched:
            if not apart:
                patched.setattr(grading, "Process", Here)
            return grading.grade(of or exercise, path, **more)

    return judge


# --- stages -----------------------------------------------------------------------------------------------------------


def test_the_solution_passes_and_the_stub_says_what_is_to_be_written(exercise, judged):
    assert judged(exercise.solution, apart=True).passed
    verdict = judged(exercise.stub, apart=True)
    assert (verdict.stage, verdict.sentence) == ("start", "forward is yours to write") and verdict.line == 13


@pytest.mark.parametrize(
    ("change", "stage", "sentence"),
    [
        (("w * x**3", "(w * x**3).ravel()"), "shape", "forward's y has the shape (1,), and should have (1, 1): the same"),
        (("w * x**3", "(w * x**3).astype(np.float32)"), "dtype", "forward's y is of float32, and should be of float64"),
        (("w * x**3", "w * x**2"), "value", "forward's y is wrong everywhere: forward's y[0, 0] is 4, and should be 8"),
        (("w * x**3", "None"), "shape", "forward's y is None, and should be an array of shape (1, 1)"),
        (("y, (x, w)", "y"), "shape", "forward returns an array of shape (1, 1), and should return y and the cache"),
        ((DX, DX.replace("3", "2")), "gradient", "dx is wrong everywhere: dx[0, 0] is "),
        ((DX, f"({DX}).T[:, :1]"), "gradient", "dx has the shape (5, 1), and should have (3, 5)"),
        (("dx, dw", "dx"), "gradient", "backward returns an array of shape (1, 1), and should return dx, dw"),
        (("dx, dw", "None"), "gradient", "backward returns None, and should return dx, dw"),
        (("x, w = cache", "x, w = cache; dy *= 1.5"), "gradient", "dx is wrong everywhere"),
        (("return dx, dw", "dy += 1; return dx, dw"), "gradient", "backward changes dy, which is the caller's"),
        (("return dx, dw", "cache[0][...] = 2 * x; return dx, dw"), "gradient", "backward, called twice, returns two"),
        (("y = w * x**3", "y = w * x**3; x += 1"), "value", "forward changes its inputs, which are the caller's"),
        (("y = w * x**3", "raise ValueError('so')"), "start", "forward raises ValueError: so"),
        (("y = w * x**3", "y = w @ x.T"), "gradient", ""),
        (("forward(x, w)", "forward(x)"), "start", "forward cannot be called as the stub says: forward() takes 1"),
        (("def backward", "def backwards"), "start", "the file has no function backward, which the stub has; its functions are"),
        (("import numpy as np", "import numpy as np\nx: int = y"), "start", "the file raises NameError: name 'y' is not"),
    ],
)  # fmt: skip
def test_the_first_stage_that_fails_is_told(judged, change, stage, sentence):
    assert RIGHT.count(change[0]) >= 1
    verdict = judged(RIGHT.replace(*change))
    assert not verdict.passed and verdict.sentence.startswith(sentence)
    assert verdict.stage == stage or not sentence
    json.dumps(verdict.to_dict())


def test_the_line_the_case_and_the_call_are_told(judged):
    verdict = judged(RIGHT.replace("w * x**3", "np.where(w == 1, 8, 0) * x / 2"))
    assert verdict.case == "random numbers" and verdict.call == "forward(x, w)" and verdict.function == "forward"
    assert RIGHT.splitlines()[verdict.line - 1].startswith("def forward")
    call = judged(RIGHT.replace(DX, DX + " + 1")).call
    assert call.startswith("forward(x=[[2.]], w=[1.]); backward(dy=[[") and call.endswith("]], cache)")
    raising = RIGHT.replace("dx = ", "dx = 1 / 0 * ")
    assert "dx = 1 / 0" in raising.splitlines()[judged(raising).line - 1]


def test_gradients_may_come_by_name_and_in_lists(judged):
    assert judged(RIGHT.replace("return dx, dw", "return {'dw': dw, 'dx': dx}")).passed
    assert judged(RIGHT.replace("return dx, dw", "return [dx, dw]")).passed
    assert judged(RIGHT.replace("return dx, dw", "return {'x': dx, 'w': dw}")).passed
    assert not judged(RIGHT.replace("return dx, dw", "return dw, dx")).passed


def test_a_known_mistake_is_told_however_it_is_written(judged):
    verdict = judged(RIGHT.replace(DX, "dy * (x * x) * w"))
    assert verdict.mistake == "no_factor" and verdict.diagnosis == ("the 3 is missing",)
    assert judged(RIGHT.replace(DX, "2 * dy * x**2 * w")).mistake == ""


def test_of_two_mistakes_with_the_same_numbers_other_cases_tell(tmp_path, judged):
    """With x = 2 and w = 1, the first case cannot tell them apart."""
    wrong = {
        "a_square": "stage: value\nsays: it is a square\n\n-    y = w * x**3\n+    y = w * x**2\n",
        "b_double": "stage: value\nsays: it is doubled\n\n-    y = w * x**3\n+    y = w * x * 2\n",
    }
    two = examples.make(tmp_path / "two", mistakes=wrong)
    assert judged(RIGHT.replace("x**3\n    return", "x * 2\n    return"), two).mistake == "b_double"
    assert judged(RIGHT.replace("x**3\n    return", "x**2\n    return"), two).mistake == "a_square"


def test_wrong_values_are_told_by_their_relation(judged):
    assert judged(RIGHT.replace("w * x**3", "-w * x**3 * (w != 1) + 8 * (w == 1)")).diagnosis == (
        "every number has the wrong sign",
    )


def test_an_authors_own_check_comes_last_and_says_what_it_finds(tmp_path, judged):
    own = """
from scratchlv.exercises import Mistake

def grade(learner, rng, N, D):
    y, _ = learner.call("forward", np.full((1, 1), 3.0), np.ones(1))
    if "#" in learner.text:
        learner.refuse("no comments", stage="style", expected="none", came="one")
    if y[0, 0] != 27:
        raise Mistake("not 27")
"""
    graded = examples.make(tmp_path / "graded", cases=examples.CASES + own)
    assert judged(RIGHT, graded).passed
    verdict = judged(RIGHT + "# one\n", graded)
    assert (verdict.stage, verdict.sentence, verdict.came) == ("style", "no comments", "one")
    assert judged(RIGHT.replace("w * x**3", "w * x**3 * (x != 3)"), graded).sentence == "not 27"
    assert judged(RIGHT.replace("w * x**3", "w * x**3 if (x != 3).all() else 1 // 0"), graded).stage == "start"


# --- who does not do the exercise --------------------------------------------------------------------------------------


def test_numerical_slopes_do_not_pass_and_are_known(judged):
    verdict = judged(f"{FORWARD}\n\n{SLOPES}", apart=True)
    assert verdict.stage == "gradient"
    assert verdict.diagnosis == (
        "the gradient is right to as many digits as a numerical slope: derive it, and compute it exactly",
    )


def test_slopes_in_a_coarser_dtype_do_not_pass(judged):
    text = f"{FORWARD}\n\n{SLOPES}".replace("return found", "return found.astype(np.float32)")
    assert judged(text).sentence.startswith("dx is of float32, and should be of float64")


def test_the_checker_cannot_be_called(judged):
    verdict = judged(f"from scratchlv.gradcheck import check\n{RIGHT}", apart=True)
    assert verdict.sentence == "the file imports scratchlv.gradcheck, which it may not while it is checked"


SPOILT = """
import random, typing
sys = typing.sys
np.allclose = np.array_equal = np.isclose = lambda *them, **more: True
np.abs = np.absolute = lambda x: 0 * x
frame = sys._getframe()
while frame:
    for server in frame.f_locals.values():
        if hasattr(type(server), "answer"):
            type(server).answer = lambda self, request: {"value": {"result": np.array([[8.0]]), "changed": False}, "refused": []}
    frame = frame.f_back
"""


def test_a_file_that_spoils_numpy_and_the_process_it_runs_in_passes_no_more_than_its_numbers(judged):
    wrong = RIGHT.replace(DX, DX.replace("3", "2")).replace("import numpy as np\n", f"import numpy as np\n{SPOILT}")
    verdict = judged(wrong, apart=True)
    assert not verdict.passed and verdict.sentence


def test_whatever_a_file_has_the_grader_compare_is_numbers_or_nothing(judged):
    lies = "class Lies(np.ndarray):\n    shape = property(lambda self: (1, 1))\n"
    lies += "    dtype = property(lambda self: np.dtype('f8'))\n"
    text = RIGHT.replace("import numpy as np\n", f"import numpy as np\n{lies}")
    wrong = text.replace("return y, (x, w)", "return np.zeros(7, 'f4').view(Lies), (x, w)")
    assert judged(wrong).sentence.startswith("forward's y has the shape (7,)")
    assert judged(RIGHT.replace("return y,", "return type('Number', (float,), {})(8.0),")).sentence == (
        "forward's y is a Number, and should be an array of shape (1, 1)"
    )
    for strange in (
        "np.array([[None]])",
        "object()",
        "(i for i in y)",
        "{(1, 2): {3: [4]}}",
        "'\\x1b[2J'",
        "y + 0j",
        "[[]]",
    ):
        verdict = judged(RIGHT.replace("return y,", f"return {strange},"))
        assert not verdict.passed and (verdict.sentence + verdict.came).isprintable()


def test_replies_that_are_none_are_a_verdict(exercise, judged, monkeypatch):
    for reply in (5, None, [], {}, {"changed": False}, {"result": 1.0}):
        monkeypatch.setattr(
            Here, "ask", lambda self, do, reply=reply, **more: ["forward", "backward"] if do == "load" else reply
        )
        verdict = judged(RIGHT)
        assert (verdict.stage, verdict.sentence) == ("limits", "the file wrote to where only the grader writes")
    monkeypatch.setattr(Here, "ask", lambda self, do, **more: 7)
    assert judged(RIGHT).sentence == "the file wrote to where only the grader writes"


def test_what_stops_the_file_is_a_verdict(judged, monkeypatch):
    def stopped(self, do, **more):
        if do == "load":
            return ["forward", "backward"]
        raise Trouble("it had not ended after 1 s", 12, "time")

    monkeypatch.setattr(Here, "ask", stopped)
    verdict = judged(RIGHT)
    assert (verdict.stage, verdict.sentence, verdict.line) == ("limits", "it had not ended after 1 s", 12)


# --- broken files ------------------------------------------------------------------------------------------------------

INVALID = "the file is no valid Python: {}; mend that line"
UNINDENT = INVALID.format("unindent does not match any outer indentation level (line 13: `return y, (x, w)`)")
UNTERMINATED = INVALID.format("unterminated string literal (detected at line 22) (line 22: `x = 'abc`)")
TABS = INVALID.format("inconsistent use of tabs and spaces in indentation (line 12: `y = w * x**3`)")
NO_CACHE = "forward returns a coroutine, and should return y and the cache that backward needs"
BROKEN = {
    "empty": ("", "the file is empty; scratchlv exercise reset puts the stub back"),
    "blank": (" \n\t\r\n", "the file is empty; scratchlv exercise reset puts the stub back"),
    "comments": ("# nothing\n", "the file has no function forward, which the stub has; its functions are none"),
    "50 MB": (RIGHT + "#" * 50_000_000, "the file has more than 256 KB, which no exercise needs"),
    "a million lines": ("\n" * 1_000_000, "the file has more than 256 KB, which no exercise needs"),
    "UTF-16": (RIGHT.encode("utf-16"), "the file is not UTF-8 text: save it as UTF-8"),
    "Latin-1": (b"# -*- coding: latin-1 -*-\n# \xe9\n", "the file is not UTF-8 text: save it as UTF-8"),
    "nul": (RIGHT + "\0", "the file is no valid Python: source code string cannot contain null bytes"),
    "a text without end": (RIGHT + "x = 'abc\n", UNTERMINATED),
    "tabs": (RIGHT.replace("    y =", "\ty ="), TABS),
    "indentation": (RIGHT.replace("    return y", "   return y"), UNINDENT),
    "walrus": (RIGHT + "x := 1\n", "the file is no valid Python: invalid syntax (line 22: `x := 1`); mend that line"),
    "too deep": (RIGHT + "x = " + "-" * 100_000 + "1\n", "the file nests deeper than Python reads"),
    "too many terms": (RIGHT + "x = 1" + "+1" * 60_000, "the file nests deeper than Python reads"),
    "return outside": (RIGHT + "return 5\n", "the file is no valid Python: 'return' outside function (line 22); mend that line"),
    "async": (RIGHT.replace("def forward", "async def forward"), NO_CACHE),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_broken_file_gets_one_sentence(judged, name):
    text, sentence = BROKEN[name]
    assert judged(text).sentence == sentence


def test_a_long_line_is_not_shown_whole(judged):
    verdict = judged(RIGHT + "x = '" + "a" * 100_000)
    assert "(line 22: `x = 'aaaa" in verdict.sentence and len(verdict.sentence) < 250


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + RIGHT, RIGHT.replace("\n", "\r\n"), RIGHT.replace("\n", "\r"), "\f" + RIGHT, RIGHT + "x = '\\d'\n"],
)
def test_marks_of_editors_do_not_matter(judged, text):
    assert judged(text).passed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none of these")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (os.mkdir, "is a folder: give a file"),
        (os.mkfifo, "is no file: give a file"),
        (lambda path: os.symlink("/dev/zero", path), "is no file: give a file"),
        (lambda path: os.symlink("nowhere", path), "there is no such file"),
        (lambda path: os.symlink(path, path), "cannot be read"),
        (lambda path: None, "there is no such file; check the path, or begin with scratchlv exercise start"),
    ],
)
def test_what_is_no_file_is_told_and_not_waited_for(exercise, tmp_path, make, sentence):
    path = tmp_path / "learner.py"
    make(path)
    with pytest.raises(UserError, match=sentence):
        grading.grade(exercise, path)


def test_a_file_that_may_not_be_read_is_told(exercise, tmp_path, monkeypatch):
    path = tmp_path / "learner.py"
    path.write_text(RIGHT)

    def refuse(self, *them):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(UserError, match="cannot be read: Permission denied; is it yours"):
            grading.grade(exercise, path)


def test_a_file_that_changes_while_it_is_checked_is_checked_as_it_was(judged, tmp_path, monkeypatch):
    class Changes(Here):
        def __init__(self, path, *them, **more):
            super().__init__(path, *them, **more)
            Path(path).write_text("another file")

    monkeypatch.setattr(sys.modules[__name__], "Here", Changes)
    assert judged(RIGHT).passed


# --- odds and ends ----------------------------------------------------------------------------------------------------


def test_a_syntax_error_of_an_exec_is_not_taken_for_the_files(judged):
    assert judged(RIGHT.replace("y = w", "exec('1 +'); y = w")).sentence.startswith("forward raises SyntaxError")


def test_a_check_without_an_end_is_bounded_by_its_limits(exercise, judged):
    quick = replace(exercise, limits=Limits(0.5, 1.0))
    verdict = judged(RIGHT.replace("    y = w", "    while True: pass\n    y = w"), quick, apart=True)
    assert (verdict.stage, verdict.line) == ("limits", 12) and "not ended after 0.5 s" in verdict.sentence


def test_numbers_and_other_inputs_are_written_as_one_would():
    assert grading._literal(0.1) == "0.1" and grading._literal(np.arange(3)) == "[0, 1, 2]"
    assert grading._literal("text") == "text" and grading._literal(None) == "None"
