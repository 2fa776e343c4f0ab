"""Marked solutions: the stub and the solution that are made of them."""

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import regions

TWO = '''import numpy as np


def outer(x):
    """Doc."""
    # <solution>
    y = 2 * x
    return y
    # </solution>


class Layer:
    def forward(self, x):
        def inner(x):
            # <solution>
            return x
            # </solution>

        return inner(x)
'''


def test_each_region_becomes_what_is_to_be_written_by_the_name_of_its_function():
    stub = regions.stub(TWO)
    assert '    raise NotImplementedError("outer is yours to write")\n\n\nclass Layer' in stub
    assert '            raise NotImplementedError("inner is yours to write")\n\n        return inner(x)\n' in stub
    assert "solution" not in stub and "2 * x" not in stub
    compile(stub, "stub.py", "exec")


def test_the_solution_is_as_one_would_write_it():
    assert regions.solution(TWO) == "".join(line for line in TWO.splitlines(keepends=True) if "solution>" not in line)


def test_a_stub_may_have_lines_of_its_own():
    text = "def f(x):\n    # <solution>\n    return 2 * x\n"
    text += "    # <stub>\n    # if x:\n    #     return x\n    #\n    # return 3  # three\n    # </solution>\n"
    assert regions.stub(text) == "def f(x):\n    if x:\n        return x\n    \n    return 3  # three\n"
    assert regions.solution(text) == "def f(x):\n    return 2 * x\n"
    assert regions.stub("# <solution>\nx = 1\n# <stub>\n# </solution>\n") == "\n"


def test_outside_of_functions_this_is_to_be_written():
    assert 'raise NotImplementedError("this is yours to write")' in regions.stub("# <solution>\nx = 1\n# </solution>\n")


def test_cuda_c_has_comments_of_its_own():
    text = "void f() {\n  // <solution>\n  x = 1;\n  // <stub>\n  // x = 2;\n  // </solution>\n}\n"
    assert regions.stub(text, "solution.cu") == "void f() {\n  x = 2;\n}\n"
    assert regions.solution(text, "solution.cu") == "void f() {\n  x = 1;\n}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "solution.py has no region: mark what the learner writes"),
        ("# <solution>\nx = 1\n", "solution.py, line 1: the region has no end"),
        ("# <solution>\n# <solution>\n# </solution>\n", "solution.py, line 2: a region begins within one; close"),
        ("x = 1\n# </solution>\n", "solution.py, line 2: </solution> stands outside of a region"),
        ("# <stub>\n", "solution.py, line 1: <stub> stands outside of a region"),
        ("# <solution>\nx = (\n# </solution>\n", "solution.py is no valid Python: "),
    ],
)  # fmt: skip
def test_marks_without_partners_are_told(text, sentence):
    with pytest.raises(UserError) as caught:
        regions.stub(text)
    assert str(caught.value).startswith(sentence)


def test_only_a_line_of_its_own_is_a_mark():
    with pytest.raises(UserError, match="no region"):
        regions.solution("x = 1  # <solution>\ny = '# </solution>'\n")
