"""What an author says in cases.py."""

import numpy as np
import pytest

from scratchlv.exercises import Mistake, call, pair, source
from scratchlv.exercises.authoring import UNKNOWN
from scratchlv.exercises.wire import Source


def test_a_pair_names_two_functions_and_a_call_one():
    both = pair("forward", "backward", case="zeros", fixed=["mask"], x=np.zeros(3), mask=np.ones(3))
    assert both.functions == ("forward", "backward") and both.fixed == ("mask",) and list(both.inputs) == ["x", "mask"]
    one = call("draw", scores=[1.0], expect=None)
    assert one.functions == ("draw",) and one.expect is None and call("draw").expect is UNKNOWN


def test_inputs_may_be_called_as_the_arguments_are():
    assert call("f", function=1, name=2).inputs == {"function": 1, "name": 2}
    assert pair("f", "b", forward=1, backward=2).inputs == {"forward": 1, "backward": 2}


def test_a_function_among_the_inputs_is_its_text():
    assert isinstance(source("lambda x: x"), Source) and source("lambda x: x") == "lambda x: x"


def test_what_an_author_finds_wrong_is_an_exception():
    with pytest.raises(Mistake, match="too slow") as caught:
        raise Mistake("too slow", stage="speed", expected="1 s", came="2 s")
    assert (caught.value.stage, caught.value.expected, caught.value.came) == ("speed", "1 s", "2 s")
    assert Mistake("wrong").stage == "value"
