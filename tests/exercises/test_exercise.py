"""An exercise's folder: what is read of it, and what is wrong with it."""

import shutil
from pathlib import Path

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises.exercise import module_of, read
from tests.exercises import examples
from tests.exercises.examples import TOML


def test_a_folder_is_read(tmp_path):
    found = examples.make(tmp_path)
    assert (found.name, found.title, found.order, found.sizes) == ("cubes", "Cubes", 1, {"N": 3, "D": 5})
    assert (found.kind, found.version, found.tolerance, found.needs) == ("numpy", 1, 1e-10, ())
    assert (found.limits.seconds, found.limits.memory) == (5.0, 1.0)
    assert found.file_name == "01_cubes.py" and found.stub.startswith("# scratchlv exercise cubes, version 1\n")
    assert "NotImplementedError" in found.stub and "NotImplementedError" not in found.solution
    assert [each.name for each in found.mistakes] == ["mean", "no_cube", "no_factor"] and found.mistake("mean").stage
    assert len(list(found.cases(0))) == 2 and found.grade is None and found.launch is None


def test_cases_may_be_asked_for_with_other_sizes(tmp_path):
    *_, last = examples.make(tmp_path).cases(0, {"N": 7, "D": 2})
    assert last.inputs["x"].shape == (7, 2)


def test_cuda_c_has_a_file_and_comments_of_its_own(tmp_path):
    folder = examples.write(tmp_path / "cubes", toml=TOML + 'kind = "cuda"\n')
    (folder / "solution.cu").write_text("// <solution>\nint x;\n// </solution>\n")
    found = read(folder)
    assert found.file_name == "01_cubes.cu" and found.stub.startswith("// scratchlv exercise cubes") and found.launch


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("title = ", "exercise.toml is no valid TOML: "),
        (TOML.replace('title = "Cubes"', ""), "exercise.toml lacks title; course/README.md says what it is"),
        (TOML.replace("order = 1", ""), "exercise.toml lacks order; "),
        (TOML.replace("hints =", "hint ="), "exercise.toml lacks hints; "),
        (TOML + "colour = 3", "exercise.toml has a 'colour', which no exercise has; its keys are title, "),
        (TOML + 'kind = "torch"', "exercise.toml: kind is 'torch', and should be one of numpy, numba, numba.cuda, cuda"),
        (TOML + "kind = 3", "exercise.toml: kind is 3, and should be a text"),
        (TOML.replace("order = 1", 'order = "one"'), "exercise.toml: order is 'one', and should be a whole number above 0"),
        (TOML.replace("order = 1", "order = 0"), "exercise.toml: order is 0, and should be a whole number above 0"),
        (TOML.replace("order = 1", "order = true"), "exercise.toml: order is True, and should be a whole number above 0"),
        (TOML.replace("N = 3", "N = 0.5"), "exercise.toml: sizes is {'N': 0.5, 'D': 5}, and should be whole numbers above 0"),
        (TOML.replace("sizes = { N = 3, D = 5 }", "sizes = 3"), "exercise.toml: sizes is 3, and should be whole numbers"),
        (TOML.replace("seconds = 5", "seconds = -1"), "exercise.toml: seconds is -1, and should be a number above 0"),
        (TOML.replace("memory = 1", 'memory = "2 GB"'), "exercise.toml: memory is '2 GB', and should be a number above 0"),
        (TOML + "tolerance = 0", "exercise.toml: tolerance is 0, and should be a number above 0"),
        (TOML + 'needs = "softmax"', "exercise.toml: needs is 'softmax', and should be a list of texts"),
        (TOML.replace('hints = ["Look at x.",', "hints = [3,").replace("3, \"The", "3, \"The"), "exercise.toml"),
    ],
)  # fmt: skip
def test_each_fault_of_the_toml_is_one_sentence(tmp_path, toml, sentence):
    with pytest.raises(UserError) as caught:
        read(examples.write(tmp_path / "cubes", toml=toml))
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "cubes")) and sentence in said and "\n" not in said


def test_files_that_are_not_there_or_not_text_are_told(tmp_path):
    with pytest.raises(UserError, match=r"exercise.toml: there is no such file, and an exercise has one"):
        read(tmp_path)
    found = examples.make(tmp_path)
    (found.folder / "solution.py").unlink()
    (found.folder / "cases.py").write_bytes("é".encode("utf-16"))
    with pytest.raises(UserError, match="solution.py: there is no such file"):
        found.stub  # noqa: B018
    with pytest.raises(UserError, match="cases.py is not UTF-8 text: save it as UTF-8"):
        list(found.cases(0))
    shutil.rmtree(found.folder / "mistakes")
    assert found.mistakes == []


@pytest.mark.parametrize("text", ["x = (", "1 / 0", "import not_there", "raise ValueError"])
def test_a_trusted_file_that_cannot_be_run_is_told(text):
    with pytest.raises(UserError, match=r"^cubes.cases.py cannot be run: \w+Error"):
        module_of(text, Path("cubes/cases.py"))


def test_a_trusted_file_may_hold_dataclasses():
    module = module_of("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n", Path("cubes/cases.py"))
    assert module.P(3).x == 3
