"""The pages themselves: in a browser, where there is one."""

import json
import re
from itertools import product

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cli import main
from scratchlv.errors import UserError
from scratchlv.show.explain.page import MOST_BYTES, analytic, explain, recorded, slopes
from scratchlv.show.explain.pages import SUBJECTS

from ...slow import slow_unless
from .browser import needs_browser, run

each_subject = pytest.mark.parametrize("name", SUBJECTS)


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


@pytest.mark.parametrize(
    ("name", "most"),
    slow_unless(lambda name, most: not most or name not in ("lstm", "rnn"), product(SUBJECTS, (False, True))),
)
def test_a_page_needs_nothing_else_and_is_small(name, most):
    page = explain(name, dict(SUBJECTS[name].most) if most else {})
    assert len(page.encode()) < MOST_BYTES
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\(|fetch\(|https?://""", page)


@each_subject
def test_the_same_seed_makes_the_same_page(name):
    assert explain(name, {}, seed=3) == explain(name, {}, seed=3) != explain(name, {}, seed=4)


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("gru", {}, "there is no page of 'gru'; there are lstm"),
        ("lstm", {"T": 0}, "--T 0: a page of lstm can be read with T from 1 to 8"),
        ("lstm", {"T": 1000}, "from 1 to 8"),
        ("softmax", {"T": 2}, "--T: the page of softmax has the sizes N, V"),
        ("conv2d", {"S": 2}, "the window is larger than the picture"),
    ],
)
def test_what_makes_no_page_is_said(name, sizes, said):
    with pytest.raises(UserError) as told:
        explain(name, sizes)
    assert said in str(told.value)


@pytest.mark.parametrize("name", ["rnn", "lstm", "attention"])
def test_gradients_on_the_way_are_those_that_backward_names(name):
    subject, rng = SUBJECTS[name], np.random.default_rng(0)
    found = recorded(subject, *subject.make(lambda *shape: rng.standard_normal(shape), subject.sizes))
    known = analytic(found)
    at = sorted(known)
    exact = slopes(found, at)
    np.testing.assert_allclose([found.tape.values[known[place]] for place in at], exact, rtol=1e-5, atol=1e-8)
    named = {"rnn": "h", "lstm": "a", "attention": "e"}[name]
    for step in found.steps[: found.n_forward]:
        for variable in step.writes:
            if step.function == 0 and (variable.name == named and step.t != -1 or variable.name == "e"):
                assert all(variable.places[k] in known for k in variable.written)


def test_the_command_writes_a_page(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explain", "softmax", "--N", "2", "--V", "3", "--seed", "5", "--out", str(out)]) == 0
    assert "wrote" in capsys.readouterr().out
    assert data_of(out.read_text("utf-8"))["inputs"]["logits"]["shape"] == [2, 3]
    assert main(["explain", "softmax", "--out", str(tmp_path / "none" / "page.html")]) == 2


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_browser
@each_subject
def test_a_browser_computes_what_the_reference_computes(name, tmp_path):
    """On numbers that the page was not made with, to 1e-12, without a complaint; and stepping goes from end to end."""
    subject, page = SUBJECTS[name], explain(name, {})
    data, rng = data_of(page), np.random.default_rng(1)
    numbers = {each: rng.standard_normal(found["shape"]) for each, found in data["inputs"].items()}
    given = [
        pair
        for each, found in data["inputs"].items()
        for pair in zip(found["at"], numbers[each].ravel().tolist(), strict=True)
    ]
    script = f"""
      const v = play(new Map({json.dumps(given)}));
      const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", {{key: name, bubbles: true}}));
      const seen = [at];
      key("ArrowRight"); seen.push(at); key("b"); seen.push(at); key("End"); seen.push(at); key("ArrowRight"); seen.push(at);
      key("Home"); seen.push(at);
      for (let k = 0; k < data.steps.length; k++) go(k);
      return [data.outputs.map((p) => v[p]), Object.entries(data.gradients).map(([n, g]) => [n, g.at.map((p) => v[p])]), seen];
    """
    (outputs, gradients, seen), complaints = run(page, script, tmp_path)
    assert complaints == []
    last = len(data["steps"]) - 1
    assert seen == [0, 1, data["forward"], last, last, 0]
    reference = getattr(ops, subject.operation).variant("reference")
    made, _ = subject.make(lambda *shape: np.zeros(shape), subject.sizes)
    y, cache = reference.forward(**made | numbers)
    flat = np.concatenate([np.ravel(part) for part in (y if isinstance(y, tuple) else (y,))])
    np.testing.assert_allclose(outputs, flat, rtol=1e-12, atol=1e-13)
    values = dict(data["tape"]["given"])
    dy = _like(y, [values[place] for place in data["dy"]])
    for (_, got), exact in zip(gradients, reference.backward(dy, cache), strict=True):
        np.testing.assert_allclose(got, exact.ravel(), rtol=1e-11, atol=1e-12)


def _like(y, flat):
    """The numbers of dy in the structure of y; None for the parts for which there are none."""
    if not isinstance(y, tuple):
        return np.reshape(flat, np.shape(y))[()]
    parts, at = [], 0
    for part in y:
        parts.append(np.reshape(flat[at : at + part.size], part.shape) if at < len(flat) else None)
        at += part.size
    return tuple(parts)


@pytest.mark.slow
@needs_browser
def test_a_picture_of_one_channel_looks_like_a_picture(tmp_path):
    script = """
      const tables = [...document.querySelectorAll("#inputs table")];
      return tables.map((t) => [t.caption.firstChild.textContent, t.rows.length, t.rows[0].querySelectorAll("td").length]);
    """
    found, complaints = run(explain("conv2d", {}), script, tmp_path)
    assert complaints == []
    assert ["x", 4, 4] in found and ["dx", 4, 4] in found and ["W", 9, 2] in found and ["b", 1, 2] in found


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(400, False), (1200, True)])
def test_numbers_can_be_changed_and_pointed_at(width, dark, tmp_path):
    script = """
      const cell = document.querySelector("#inputs td.editable"), place = Number(cell.dataset.place);
      cell.click();
      const open = !document.getElementById("edit").hidden;
      document.getElementById("value").value = "0.75";
      document.getElementById("edit").requestSubmit();
      const changed = [values[place], document.querySelector("#inputs td.changed") !== null];
      const told = document.getElementById("number").textContent;
      document.getElementById("reset").click();
      const scale = document.getElementById("scale"), before = norms(1).map((n) => n[1]);
      scale.value = "-1"; scale.oninput();
      const said = document.getElementById("norms").textContent;
      const wide = document.documentElement.scrollWidth <= window.innerWidth;
      return [open, changed, told, values[place] === original[place], before.length, said, wide];
    """
    (open_, changed, told, as_before, n, said, fits), complaints = run(
        explain("rnn", {}), script, tmp_path, width, dark
    )
    assert complaints == []
    assert open_ and changed == [0.75, True] and as_before and fits
    slope, exact = (float(re.search(rf"{what}: (\S+)", told)[1]) for what in ("measured", "by backward"))
    assert slope == pytest.approx(exact, rel=1e-4, abs=1e-8)
    assert n == SUBJECTS["rnn"].sizes["T"] and said.endswith("it vanishes.")
