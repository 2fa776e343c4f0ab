"""The pictures of questions: rows picked, and their gradients added up."""

import numpy as np
import pytest

from scratchlv.models import of_questions


@pytest.mark.parametrize("picture_of", [[0, 1, 2], [2, 0, 1], [0, 1], [1, 1, 0], [0, 1, 2, 0]])
def test_every_question_is_given_its_own_picture(picture_of):
    """As many questions as pictures or not, in their order or not; and what comes back adds up for each picture."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((3, 4, 5)), rng.standard_normal((len(picture_of), 4, 5))
    y, cache = of_questions.forward(x, np.array(picture_of), train=True)
    np.testing.assert_array_equal(y, x[picture_of])
    expected = np.zeros_like(x)
    np.add.at(expected, picture_of, dy)
    np.testing.assert_allclose(of_questions.backward(dy, cache), expected)
