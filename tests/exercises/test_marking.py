"""A class is graded whatever its students hand in: each file costs only its own cell."""

import io
import os
import signal
import threading
import time

import pytest

from scratchlv.exercises import marking as marking_module
from scratchlv.exercises import process, truth
from scratchlv.exercises.bubblewrap import bubblewrap
from scratchlv.exercises.course import open_course
from scratchlv.exercises.grading import grade
from scratchlv.exercises.marking import Mark, Marking
from scratchlv.exercises.students import Student


@pytest.fixture
def exercise(course_folder):
    """It gives a call a second."""
    toml = course_folder / "near" / "exercise.toml"
    toml.write_text(toml.read_text("utf-8").replace("minutes = 10", "minutes = 10\nseconds = 1"), "utf-8")
    return open_course(course_folder).find("near")


@pytest.fixture
def hand_in(tmp_path, exercise):
    """A function: a student of this name hands in this text."""

    def do(name, text):
        folder = tmp_path / "class" / name
        folder.mkdir(parents=True)
        if text is not None:
            (folder / exercise.file_name).write_text(text, "utf-8")
        return Student(name, folder)

    return do


def marks(students, exercise, jobs=2, **more):
    rows = list(Marking(students, [exercise], jobs, progress=io.StringIO(), **more).rows())
    assert [row.student for row in rows] == list(students)
    return {row.student.name: row.marks["near"] for row in rows}


HOSTILE = {
    "loops": ("while True: pass\n", "limits", "line 1: it had not ended after 1 s"),
    "prints": ("print('x' * 2_000_000)\n", "limits", "prints more than 256 KB"),
    "exits": ("raise SystemExit\n", "limits", "ends the program"),
    "raises": ("raise ValueError('=1+1')\n", "start", "line 1: the file raises ValueError: =1+1"),
    "writes": ("open('/tmp/it_was_here', 'w')\n", "limits", "which it may not"),
    "imports": ("import os\nos._exit(0)\n", "limits", "line 1: the file imports os"),
    "no python": ("x = (1,\n", "start", "the file is no valid Python"),
    "binary": ("\0" * 100, "start", "no valid Python"),
    "empty": ("", "start", "the file is empty"),
    "too long": ("#" * (2 << 20), "start", "the file has more than 256 KB, which no exercise needs"),
}


def test_whatever_a_student_hands_in_the_others_are_graded(exercise, hand_in):
    students = [hand_in("ada", exercise.solution), hand_in("none", None)]
    students += [hand_in(name, text) for name, (text, _, _) in HOSTILE.items()]
    students += [hand_in("zoe", exercise.mistake("no_two").planted(exercise.solution))]
    found = marks(students, exercise)
    assert found["ada"] == Mark("passed")
    assert found["none"] == Mark("missing")
    assert found["zoe"].what == "gradient" and found["zoe"].mistake == exercise.mistake("no_two").says
    for name, (_, what, sentence) in HOSTILE.items():
        assert found[name].what == what, name
        assert sentence in found[name].sentence, name


def test_a_file_that_cannot_be_read_costs_its_own_cell(exercise, hand_in):
    ada, linked, piped = hand_in("ada", exercise.solution), hand_in("linked", None), hand_in("folder", None)
    (linked.folder / exercise.file_name).symlink_to(ada.folder / exercise.file_name)
    (piped.folder / exercise.file_name).mkdir()
    found = marks([ada, linked, piped], exercise)
    assert found["ada"].what == "passed"
    assert found["linked"] == Mark("unreadable", "01_near.py is a link: the file itself is wanted")
    assert found["folder"].what == "unreadable"


def test_no_student_can_read_what_another_has_handed_in(exercise, hand_in, tmp_path):
    ada = hand_in("ada", exercise.solution)
    thief = hand_in("thief", f"exec(open({str(ada.folder / exercise.file_name)!r}).read())\n")
    assert marks([ada, thief], exercise)["thief"].what == "passed"
    assert marks([ada, thief], exercise, hidden=[tmp_path / "class"])["thief"].what == "limits"


def test_the_solution_cannot_be_read(exercise, hand_in):
    reads = hand_in("reads", f"exec(open({str(exercise.folder / 'solution.py')!r}).read())\n")
    assert "reads the solution" in marks([reads], exercise)["reads"].sentence


def test_a_folder_that_python_is_in_stays_in_sight(exercise, hand_in):
    """Else nothing of the class could run."""
    assert (
        marks([hand_in("ada", exercise.solution)], exercise, hidden=[marking_module.PACKAGE.parent])["ada"].what
        == "passed"
    )


@pytest.mark.slow
def test_a_table_of_the_results_that_are_handed_out_does_not_pass(exercise, hand_in):
    known = [each for seed in truth.SEEDS for each in truth.expected(exercise, seed)]
    y = {each.inputs["x"].tobytes(): each.y.tolist() for each in known}
    grads = {each.dy.tobytes(): [each.grads[name].tolist() for name in ("x", "t")] for each in known}
    lines = [
        "import numpy as np",
        "def forward(x, t):",
        f"    return np.array({y!r}[x.tobytes()]), None",
        "def backward(dy, cache):",
        f"    return tuple(map(np.array, {grads!r}[dy.tobytes()]))",
    ]
    table = hand_in("table", "\n".join(lines) + "\n")
    assert grade(exercise, table.folder / exercise.file_name).passed
    assert "KeyError" in marks([table], exercise)["table"].sentence


def test_the_students_own_progress_is_not_believed(exercise, hand_in):
    ada = hand_in("ada", exercise.stub)
    (ada.folder / ".scratchlv-exercises.json").write_text('{"version": 1, "exercises": {"near": {"passed": 1.0}}}')
    assert marks([ada], exercise)["ada"] == Mark("start", "line 20: forward is yours to write")


@pytest.mark.slow
def test_one_that_waits_in_every_call_is_ended(exercise, hand_in, monkeypatch):
    monkeypatch.setattr(process, "TOGETHER", 2)
    waits = exercise.solution.replace(
        "    difference = x - t", "    import time\n\n    time.sleep(0.8)\n    difference = x - t"
    )
    found = marks([hand_in("waits", waits)], exercise)["waits"]
    assert found.what == "limits" and "all calls together had not ended after 2 s" in found.sentence


def test_an_error_of_the_course_itself_costs_a_cell(exercise, hand_in, monkeypatch):
    def broken(exercise, path, **more):
        if "spoils" in path.read_text("utf-8"):
            raise ZeroDivisionError("of the course")
        return graded(exercise, path, **more)

    graded = marking_module.grade
    monkeypatch.setattr(marking_module, "grade", broken)
    found = marks([hand_in("ada", "# spoils\n"), hand_in("bob", exercise.solution)], exercise)
    assert found["ada"] == Mark("not checked", "the check itself raised ZeroDivisionError: of the course")
    assert found["bob"].what == "passed"


def test_nothing_is_written_to_a_students_folder(exercise, hand_in):
    ada = hand_in("ada", exercise.solution)
    marks([ada], exercise)
    assert [path.name for path in ada.folder.iterdir()] == [exercise.file_name]


@pytest.fixture
def interruptible():
    """A shell's background jobs are deaf to Ctrl-C, and so are these tests in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_the_rows_that_are_complete_and_nothing_that_runs(exercise, hand_in, monkeypatch, tmp_path):
    monkeypatch.setattr(marking_module.tempfile, "tempdir", str(tmp_path))
    students = [
        hand_in("ada", exercise.solution),
        hand_in("bob", "while True:\n    pass\n"),
        hand_in("cleo", exercise.solution),
    ]
    ended = threading.Event()

    def interrupt():
        while not ended.wait(0.05):
            if done.count(True) == 2:
                os.kill(os.getpid(), signal.SIGINT)
                return

    done, graded = [], marking_module.grade

    def counted(exercise, path, **more):
        verdict = graded(exercise, path, **more)
        done.append(verdict.passed)
        return verdict

    monkeypatch.setattr(marking_module, "grade", counted)
    slow = open_course(exercise.folder).find("near")
    object.__setattr__(slow, "limits", type(slow.limits)(seconds=60))
    thread = threading.Thread(target=interrupt)
    thread.start()
    rows, began = [], time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        for row in Marking(students, [slow], 2, progress=io.StringIO()).rows():
            rows.append(row.student.name)
    ended.set()
    thread.join()
    assert rows == ["ada", "cleo"]
    assert time.perf_counter() - began < 30  # bob's loop was ended
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("scratchlv-")]


def test_the_time_left_is_told(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(marking_module.time, "perf_counter", lambda: now[0])
    out = io.StringIO()
    told = marking_module._Told(400, out)
    for i in range(400):
        now[0] = i * 1.0
        told.step(None)
    told.finish()
    lines = out.getvalue().splitlines()
    assert lines[0] == "2 of 400 checks, 3 min left"
    assert len(lines) == 14  # every half a minute
    assert lines[-1] == "392 of 400 checks, 8 s left"


@pytest.mark.slow
@pytest.mark.skipif(not bubblewrap(), reason="bubblewrap is not installed, or may not be used here")
def test_in_bubblewrap_the_verdicts_are_the_same(exercise, hand_in):
    students = [
        hand_in("ada", exercise.solution),
        hand_in("zoe", exercise.mistake("no_two").planted(exercise.solution)),
    ]
    students += [hand_in(name, text) for name, (text, _, _) in HOSTILE.items()]
    assert marks(students, exercise, wrapper=bubblewrap()) == marks(students, exercise)
