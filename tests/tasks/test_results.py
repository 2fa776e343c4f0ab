"""Files of results, for other programs to judge."""

import json

import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import results


def test_results_are_a_list(tmp_path):
    results.write(tmp_path / "r.json", "image_id", [3, "a.jpg"], "caption", iter(["un café", "deux"]))
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == [
        {"image_id": 3, "caption": "un café"},
        {"image_id": "a.jpg", "caption": "deux"},
    ]


def test_where_they_cannot_be_written_is_said_before_the_work(tmp_path):
    results.check(tmp_path / "r.json")
    with pytest.raises(UserError, match="is a folder; give the name of a file"):
        results.check(tmp_path)
    with pytest.raises(UserError, match="there is no folder .*nowhere; make it first"):
        results.check(tmp_path / "nowhere" / "r.json")
