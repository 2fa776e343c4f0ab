"""Inputs of somebody's own functions: their file's, an .npz, or drawn from the shapes that stand in the source."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import file_inputs, files

BACKWARD = "def backward(dy, cache):\n    return dy\n"
FORWARD = "import numpy as np\ndef forward(x, W):\n    return x @ W, None\n" + BACKWARD


@pytest.fixture
def given(tmp_path):
    def inputs(text, npz=None, names=()):
        path = tmp_path / "layer.py"
        path.write_text(text, encoding="utf-8")
        with files.beside(path):
            loaded = files.load(path)
            return file_inputs.inputs_for(files.functions_of(loaded, names), loaded, npz)

    return inputs


def shapes(given):
    return {name: np.shape(value) for name, value in given.inputs.items()}


# --- from the file ---------------------------------------------------------------------------------------------------


def test_a_dict(given):
    found = given(FORWARD + "inputs = {'x': np.ones((2, 3)), 'W': np.ones((3, 4))}\n")
    assert shapes(found) == {"x": (2, 3), "W": (3, 4)}
    assert found.remake is None and found.sizes is None


def test_a_function_of_sizes_makes_others_too(given):
    found = given(
        FORWARD + "def inputs(N=3, D=5, bias=True):\n    return {'x': np.ones((N, D)), 'W': np.ones((D, 2))}\n"
    )
    assert shapes(found) == {"x": (3, 5), "W": (5, 2)}
    assert found.sizes == {"N": 3, "D": 5}
    assert found.remake(N=1, T=1)["x"].shape == (1, 5)


def test_inputs_go_by_the_name_of_the_functions(given):
    text = "def f_forward(x):\n    return x, 0\ndef f_backward(dy, c):\n    return dy\n"
    text += "f_inputs = {'x': 1.0}\ninputs = {'x': 2.0}\n"
    assert given(text, names=("f_forward", "f_backward")).inputs == {"x": 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs = [1]\n", "inputs in .* is a list, and should be a dict by the names"),
        ("def inputs(N):\n    return {}\n", "takes N without a default: give it one, such as N=3"),
        ("def inputs():\n    return 1 / 0\n", r"inputs\(\) in .* raises ZeroDivisionError: .* \(layer.py, line 7"),
        ("def inputs():\n    return 1.0, 2.0\n", "returns a tuple, and should return a dict"),
    ],
)
def test_inputs_that_are_wrong(given, text, message):
    with pytest.raises(UserError, match=message):
        given(FORWARD + text)


# --- from an .npz ----------------------------------------------------------------------------------------------------


def test_an_npz_goes_before_what_the_file_has(given, tmp_path):
    np.savez(
        tmp_path / "in.npz", x=np.ones((2, 3), np.float32), labels=np.array([1, 2]), stride=np.array(2), mode="same"
    )
    found = given(FORWARD + "inputs = {}\n", tmp_path / "in.npz").inputs
    assert found["x"].dtype == np.float32
    assert found["labels"].dtype == np.int64
    assert type(found["stride"]) is int and found["mode"] == "same"


def test_files_that_are_no_npz(tmp_path):
    for name, write, message in [
        ("gone.npz", lambda path: None, "there is no such file; check the path"),
        ("text.npz", lambda path: path.write_text("x"), "is no .npz: write it with np.savez"),
        ("empty.npz", lambda path: path.write_bytes(b""), "is no .npz"),
        ("one.npz", lambda path: np.save(path.open("wb"), np.ones(2)), "is one array, and names no parameter"),
        ("objects.npz", lambda path: np.savez(path, x=np.array([{}])), "x holds Python objects, which are not read"),
    ]:
        write(tmp_path / name)
        with pytest.raises(UserError, match=f"--inputs .*{name}.*{message}"):
            file_inputs.read_npz(tmp_path / name)


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], dtype=object))
    with pytest.raises(UserError):
        file_inputs.read_npz(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_an_npz_that_is_damaged(tmp_path):
    path = tmp_path / "in.npz"
    np.savez(path, x=np.arange(1000.0))
    data = bytearray(path.read_bytes())
    data[4000] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="x is damaged"):
        file_inputs.read_npz(path)


# --- from shapes -----------------------------------------------------------------------------------------------------

BODY = "    return x @ W + b, None\n" + BACKWARD


@pytest.mark.parametrize(
    "text",
    [
        "def forward(x, W, b):  # x: (N, D), W: (D, H), b: (H,)\n" + BODY,
        "def forward(\n    x,  # (N, D)\n    W,  # (D, H), the weights\n    b,  # b: (H,)\n):\n" + BODY,
        "def forward(x: '(N, D)', W: '(D, H)', b: '(H,)'):\n" + BODY,
        "from __future__ import annotations\ndef forward(x: '(N, D)', W: '(D, H)', b: '(H,)'):\n" + BODY,
        'def forward(x, W, b):\n    """A layer.\n\n    x: (N, D)\n    W: (D, H); b: (H,)\n    """\n' + BODY,
        "# x: (N, D), W: (D, H)\n# b: (H,)\ndef forward(x, W, b):\n" + BODY,
        "def forward(x, W, b):\n    # x: (N, D), W: (D, H), b: (H,)\n" + BODY,
        "def forward(x, W, b, eps=1e-5):  # x: (N, D), W: (D, H)\n    'b: (H,)'\n" + BODY,
    ],
)
def test_shapes_stand_in_comments_annotations_and_docstrings(given, text):
    found = given(text)
    assert shapes(found) == {"x": (3, 5), "W": (5, 2), "b": (2,)}
    assert found.sizes == {"N": 3, "D": 5, "H": 2}
    assert found.remake(N=1)["x"].shape == (1, 5)


def test_comments_in_the_body_are_not_taken_for_the_inputs(given):
    text = "def forward(x):  # x: (N, D)\n    x = x.sum(1)  # x: (N,)\n    # x: (7,)\n    return x, None\n" + BACKWARD
    assert shapes(given(text)) == {"x": (3, 5)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def forward(x):\n    y = x\n    # x: (N,)\n    return y, 0\n" + BACKWARD, "says no shapes of its inputs"),
        (
            FORWARD,
            r"forward in .*layer.py says no shapes of its inputs: write a comment # x: \(N, D\) on its line, or a func",
        ),
        ("def forward(x, W, b):  # x: (N, D)\n" + BODY, r"says no shape of W, b: write a comment # W: \(N, D\)"),
        ("def forward(x):  # x: (N,) int\n    return x, 0\n" + BACKWARD, "layer.py: x is int without a bound"),
    ],
)
def test_shapes_that_are_missing(given, text, message):
    with pytest.raises(UserError, match=message):
        given(text)
