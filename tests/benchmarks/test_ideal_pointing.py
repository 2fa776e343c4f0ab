"""``benchmarks/ideal_pointing.py``: a scene whose answer one can count."""

import pytest

from scratchlv.data.scenes import Scene, SceneObject


@pytest.mark.parametrize(("unread", "wanted"), [(1, [0.5, 0.5, 1, 1, 1, 1]), (0, [0.5, 1, 1, 1, 1, 1])])
def test_of_two_objects_the_first_word_that_is_read_tells_which(unread, wanted, benchmarks):
    objects = (
        SceneObject("circle", "red", "small", 12.0, 32.0, 5.5),
        SceneObject("square", "blue", "large", 50.0, 32.0, 9.0),
    )
    scene = Scene(0, 0, objects, (220, 220, 220), ((214, 40, 40), (40, 80, 220)))
    assert benchmarks("ideal_pointing").looks_of(scene, unread) == wanted
