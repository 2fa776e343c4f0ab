"""What ``--data`` may say."""

import os

import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import TASKS
from scratchlv.tasks.data_argument import FORMS, parse


@pytest.mark.parametrize(
    ("data", "task", "arguments"),
    [
        ("scenes", "lm", ()),
        ("easy-vqa", "vqa", ()),
        ("text:/a/b:c.txt", "lm", ("/a/b:c.txt",)),
        ("parallel:/a/x:y.en,/b/y.de", "translate", ("/a/x:y.en", "/b/y.de")),
        ("csv:/a/b:c.csv:text:headline", "summarize", ("/a/b:c.csv", "text", "headline")),
        ("babi:/a/b:1", "babi", ("/a/b", "1")),
        ("karpathy:/a/b:c.json:/d", "caption", ("/a/b:c.json", "/d")),
        ("vqa:/a/b:q.json:/a/a.json:/d", "vqa", ("/a/b:q.json", "/a/a.json", "/d")),
        ("clevr:/a", "vqa", ("/a",)),
        ("tsv:/a/b:c.tsv", "translate", ("/a/b:c.tsv",)),
        ("jsonl:/a/b:c.jsonl:x.en:x.de", "translate", ("/a/b:c.jsonl", "x.en", "x.de")),
        ("multi30k:/a:en:de", "translate", ("/a", "en", "de")),
        ("coco:/a/b.json:/d", "caption", ("/a/b.json", "/d")),
    ],
)
def test_it_is_taken_apart_from_behind_and_put_together_again(data, task, arguments):
    parsed = parse(data, task)
    assert parsed == (data.partition(":")[0], arguments)
    assert str(parsed) == data
    assert parse(str(parsed), task) == parsed


def test_paths_become_absolute_and_names_of_columns_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = os.path.realpath(tmp_path)
    assert parse("csv:n.csv:text:head", "translate").arguments == (f"{here}/n.csv", "text", "head")
    assert parse("parallel:a,../b", "translate").arguments == (f"{here}/a", f"{os.path.dirname(here)}/b")
    assert parse("karpathy:a.json:b", "caption").arguments == (f"{here}/a.json", f"{here}/b")
    assert parse("babi:.:2", "babi").arguments == (here, "2")


@pytest.mark.parametrize(
    ("data", "task"),
    [
        ("", "lm"),
        ("nonsense", "lm"),
        ("text", "lm"),
        ("text:", "lm"),
        ("scenes:x", "lm"),
        ("parallel:a", "translate"),
        ("parallel:a,", "translate"),
        ("csv:a:b", "summarize"),
        ("babi:a", "babi"),
        ("scenes", "babi"),
        ("flickr8k:a", "vqa"),
    ],
)
def test_anything_else_is_refused_with_all_that_fits(data, task):
    with pytest.raises(UserError) as refused:
        parse(data, task)
    assert f"--data {data}" in str(refused.value)
    for kind in TASKS[task].data:
        assert FORMS[kind] in str(refused.value)


def test_every_task_takes_data_that_can_be_written():
    for name, task in TASKS.items():
        assert set(task.data) <= FORMS.keys()
        presets = task.load().PRESETS
        assert {kind for kind, _ in presets.get(name, presets)} == set(task.data), task.title
