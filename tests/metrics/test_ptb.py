"""Captions cut as COCO's evaluation cuts them. Beside each: what Stanford's PTBTokenizer 3.4.1 gave, without punctuation."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scratchlv.metrics import ptb_words

CASES = {
    "A man's dog doesn't run. It's the dogs' ball, isn't it?": "a man 's dog does n't run it 's the dogs ball is n't it",
    "He said \"hello\" and 'bye' to 'em.": "he said hello and bye to 'em",
    "I'm gonna wanna gotta lemme cannot gimme 'tis 'twas": "i 'm gon na wan na got ta lem me can not gim me 't is 't was",
    "he'd she'll we've they're I'd y'all CAN'T won't": "he 'd she 'll we 've they 're i 'd y' all ca n't wo n't",
    "A black-and-white T-shirt (red) [blue] {green} - or -- or – dash": (
        "a black-and-white t-shirt -lrb- red -rrb- -lsb- blue -rsb- -lcb- green -rcb- or or dash"
    ),
    "it costs $5.99 or 5€ or £6 & 50% off": "it costs $ 5.99 or 5 $ or # 6 & 50 % off",
    "Mr. Smith and the U.S. flag in St. Louis at 5 p.m. , etc.": "mr. smith and the u.s. flag in st. louis at 5 p.m. etc.",
    "on Main St.": "on main st.",
    "the letter b.": "the letter b.",
    "bus No. 5 is no. bus": "bus no. 5 is no bus",
    "it weighs 5 lbs. and fell in. ok": "it weighs 5 lbs and fell in ok",
    "12:30pm 12pm 1,000 1.5 .5 -5 1st 80's 1980s '90s 3-1/2 9/11/2001": (
        "12:30 pm 12pm 1,000 1.5 .5 -5 1st 80 's 1980s '90s 3-1/2 9/11/2001"
    ),
    "o'clock O'Neil ma'am rock'n'roll rock 'n' roll hors d'oeuvres workin'": (
        "o'clock o'neil ma'am rock 'n' roll rock 'n' roll hors d'oeuvres workin"
    ),
    "and/or black/white w/o two- and three-story": "and/or black/white w/o two and three-story",
    "wow!! what?! hello.world wait... ok . . .": "wow !! what ?! hello.world wait ok",
    "AT&T R&B b&w salt&pepper &amp; a&amp;b": "at&t r&b b & w salt & pepper & a & b",
    "#1 fan @home www.foo.com a@b.com": "# 1 fan @home www.foo.com a@b.com",
    "“curly” ‘single’ it’s don’t café naïve": "curly single it 's do n't café naïve",
    "a man <unk> 日本語 हिन्दी": "a man <unk> 日本語 हिन्दी",
    "½ a 1½ 30° x*y a+b=c": "1/2 a 1 1/2 30 ° x * y a + b = c",
    "  spaced \t out  ": "spaced out",
    "": "",
    " . , ! - ": "",
}


@pytest.mark.parametrize("caption", CASES)
def test_words(caption):
    assert ptb_words(caption) == CASES[caption].split()


def test_cut_again_the_words_stay():
    for words in CASES.values():
        once = ptb_words(" ".join(words.split()))
        assert ptb_words(" ".join(once)) == once


def test_beside_the_program_itself():
    package = pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: pip install pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("there is no java here, which PTBTokenizer needs")
    jar = Path(package.__path__[0]) / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = ["java", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    done = subprocess.run(command, input="\n".join(CASES).encode(), capture_output=True, check=True)
    left_out = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
    for caption, line in zip(CASES, done.stdout.decode().split("\n"), strict=False):
        assert ptb_words(caption) == [word for word in line.split() if word not in left_out], caption
