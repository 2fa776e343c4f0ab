"""What each page says of its lines."""

import numpy as np
import pytest

from scratchlv.show.explain.page import equation, recorded
from scratchlv.show.explain.pages import SUBJECTS


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_line_that_runs_has_an_equation_and_every_equation_a_line(name):
    subject, rng = SUBJECTS[name], np.random.default_rng(0)
    found = recorded(subject, *subject.make(lambda *shape: rng.standard_normal(shape), subject.sizes))
    texts = [each.text.splitlines() for each in found.functions]
    for step in found.steps:
        line = texts[step.function][step.line]
        assert equation(subject, line), line
    every = [line.strip() for text in texts for line in text]
    shared = {"x, keys", "x, h", "p, (kept"}
    unused = {start for start in subject.equations if not any(line.startswith(start) for line in every)}
    assert unused <= shared


@pytest.mark.parametrize("name", SUBJECTS)
def test_defaults_are_within_what_can_be_read(name):
    subject = SUBJECTS[name]
    assert subject.sizes.keys() == subject.most.keys()
    assert all(1 <= subject.sizes[size] <= subject.most[size] for size in subject.sizes)
