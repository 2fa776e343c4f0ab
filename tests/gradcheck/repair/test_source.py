import ast
import functools
import importlib.util

import numpy as np
import pytest

from scratchlv.gradcheck.repair.source import called, functions, is_users, replaced, unwrapped

TEXT = """
import functools
import numpy as np

def twice(x):
    return 2 * x

def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)
    return wrapper

@logged
def decorated(dy, cache):
    return twice(dy)

class Layer:
    __secret = 3

    def backward(self, dy, cache):
        return self.__secret * dy

    def __call__(self, dy, cache):
        return super().__init__() or 4 * dy

def make(a, b):
    def backward(dy, cache):
        return a * dy + b
    return backward

closure = make(5, 0)
first, second = lambda dy, cache: 6 * dy, lambda dy, cache: 7 * dy
partial = functools.partial(decorated, cache=None)
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "operations_of_a_student.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("operations_of_a_student", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(call):
    codes = called(lambda: call(np.ones(2), None), unwrapped(call))
    return {function.code.co_qualname: function for function in functions(codes, unwrapped(call))}


@pytest.mark.parametrize(
    ("pick", "name", "factor"),
    [
        (lambda m: m.decorated, "decorated", None),
        (lambda m: m.Layer().backward, "Layer.backward", 3),
        (lambda m: m.Layer(), "Layer.__call__", 4),
        (lambda m: m.closure, "make.<locals>.backward", None),
        (lambda m: m.first, "<lambda>", 6),
        (lambda m: m.second, "<lambda>", 7),
        (lambda m: functools.partial(m.Layer.backward, m.Layer()), "Layer.backward", 3),
    ],
)
def test_a_function_is_found_edited_and_put_back(module, pick, name, factor):
    call = pick(module)
    before = call(np.ones(2), None)
    function = found(call)[name]
    assert function.own
    if factor is not None and name not in ("Layer.backward",):
        (constant,) = [n for n in ast.walk(function.node) if isinstance(n, ast.Constant) and n.value == factor]
        constant.value = 10
        expected = 10 * np.ones(2)
    else:
        (product,) = [n for n in ast.walk(function.node) if isinstance(n, ast.Return)][-1:]
        product.value = ast.fix_missing_locations(ast.BinOp(product.value, ast.Mult(), ast.Constant(10)))
        expected = 10 * before
    code = function.compiled()
    with replaced(function, code):
        np.testing.assert_array_equal(call(np.ones(2), None), expected)
    np.testing.assert_array_equal(call(np.ones(2), None), before)


def test_what_it_calls_is_found_but_not_as_its_own(module):
    assert {
        name: function.own for name, function in found(module.decorated).items() if name != "logged.<locals>.wrapper"
    } == {
        "decorated": True,
        "twice": False,
    }


def test_a_free_variable_may_go(module):
    function = found(module.closure)["make.<locals>.backward"]
    function.node.body[0].value = ast.fix_missing_locations(ast.Constant(8))
    with replaced(function, function.compiled()):
        assert module.closure(1.0, None) == 8


def test_a_free_variable_may_not_come(module):
    function = found(module.decorated)["twice"]
    function.node.body[0].value = ast.parse("super().x", mode="eval").body
    assert function.compiled() is None or function.compiled().co_freevars == function.code.co_freevars


def test_libraries_are_not_the_users():
    assert not is_users(np.linalg.norm.__wrapped__.__code__.co_filename)
    assert not is_users(functools.wraps.__code__.co_filename)
    assert not is_users(is_users.__code__.co_filename)
    assert not is_users("<string>")
    assert is_users(__file__)


def test_libraries_are_not_looked_into(module):
    def backward(dy, cache):
        return np.linalg.norm(dy) * dy

    assert list(found(backward)) == ["test_libraries_are_not_looked_into.<locals>.backward"]


def test_a_file_that_has_changed_is_not_used(tmp_path):
    path = tmp_path / "changing.py"
    path.write_text("def backward(dy, cache):\n    return dy\n")
    spec = importlib.util.spec_from_file_location("changing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text("\n\ndef other(dy, cache):\n    return dy\n")
    assert found(module.backward) == {}
