"""The page of a probe."""

from scratchlv.tasks import probe_report

from .probing import made, probing


def test_the_page_has_every_run_and_its_words(monkeypatch, tmp_path):
    found = probing(monkeypatch)(made("attention"), made("naive"), n=6)
    text = probe_report.write(tmp_path / "report.html", found).read_text("utf-8")
    assert text.count('<figure class="looks">') == 6
    words = sum(len(g.tokens) for run in found.runs for g in run.generated)
    assert text.count('<button type="button" class="word"') == words
    assert text.count('class="veil"') == sum(len(g.tokens) for g in found.runs[0].generated)
    assert "0-attention (attention)" in text and "image dependence" in text and "no attention" in text
