"""scratchlv probe: runs side by side, as a table, a page and a file."""

import json

from scratchlv.cli import main
from scratchlv.tasks import probe

from .helpers import TINY, fails, misused


def test_all_kinds_of_captioner_side_by_side(runs, capsys, tmp_path):
    folders = [str(runs("caption", model)) for model in ("attention", "naive", "shortcut", "uniform")]
    out, file = tmp_path / "report.html", tmp_path / "probe.json"
    capsys.readouterr()
    assert main(["probe", *folders, "--n", "5", "--out", str(out), "--json", str(file)]) == 0
    said = capsys.readouterr()
    header, *rows = said.out.splitlines()
    assert header.split() == [
        *("caption-attention", "(attention)", "caption-naive", "(naive)", "caption-shortcut", "(shortcut)"),
        *("caption-uniform", "(uniform)", "references"),
    ]
    assert [row.strip() for row in rows[-3:]] == [
        "—  caption-naive: no attention",
        "—  caption-shortcut: no attention",
        "—  caption-uniform: uniform attention does not choose",
    ]
    labels = [figure.label for name, figure in probe.FIGURES.items() if not name.startswith("pointing")]
    assert [next(label for label in labels if row.startswith(label)) for row in rows[:-3]] == labels
    assert "picture 20/20" in said.err and f"wrote {out}" in said.err
    found = json.loads(file.read_text("utf-8"))
    assert [run["model"] for run in found["runs"]] == ["attention", "naive", "shortcut", "uniform"]
    assert found["n"] == 5 and found["data"].startswith("scenes")
    assert {len(run["captions"]) for run in found["runs"]} == {5}
    page = out.read_text("utf-8")
    assert page.count('<figure class="looks">') == 5 and page.count("<svg") == 2


def test_what_cannot_be_probed(runs, capsys, tmp_path, monkeypatch):
    run = runs("caption")
    fails(capsys, "probe", tmp_path, saying=[str(tmp_path), "not a run"])
    fails(capsys, "probe", run, runs("vqa"), saying=[str(runs("vqa")), "'vqa', not 'caption'", "scratchlv answer"])
    fails(capsys, "probe", run, "--n", "1", saying=["--n 1", "2 or more"])
    fails(capsys, "probe", run, "--split", "nowhere", saying=["--split nowhere"])
    fails(capsys, "probe", run, "--data", "flickr8k:/nowhere", saying=["--data flickr8k:/nowhere", "trained on scenes"])
    monkeypatch.setattr(probe, "_probed", None)  # files that cannot be written are refused before anything is probed
    nowhere = tmp_path / "no" / "f.json"
    fails(capsys, "probe", run, "--n", "2", "--json", nowhere, saying=["--json", "f.json", "there is no folder"])
    fails(capsys, "probe", run, "--n", "2", "--out", tmp_path, saying=[f"--out {tmp_path} is a folder"])
    assert "required" in misused(capsys, "probe")
    other = tmp_path / "other"
    assert main(["train", "caption", "--out", str(other), *TINY, "--set", "most_objects=5"]) == 0
    saying = [
        "different data",
        f"{run}: scenes (3 to 4 objects",
        f"{other}: scenes (3 to 5 objects",
        "probe each alone",
    ]
    fails(capsys, "probe", run, other, saying=saying)
