"""What the system refuses is told with what to do about it; only a full disk is answered with space."""

import errno
import os
import subprocess
import sys

import pytest

from scratchlv.cli import main
from scratchlv.errors import UserError, explain, readable, shortened
from scratchlv.tasks import run_folder, training

REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "change its permissions or choose another",
    errno.EPERM: "change its permissions or choose another",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of it is no folder",
    errno.EISDIR: "give a file, not a folder",
    errno.EMFILE: "or allow more open files (ulimit -n)",
    errno.EIO: "choose another file or folder",
}


def refused(number, name="runs/a"):
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize("number", REMEDIES, ids=errno.errorcode.get)
def test_each_refusal_has_its_remedy(number, monkeypatch, capsys, tmp_path):
    def refuse(*arguments, **options):
        raise refused(number)

    monkeypatch.setattr(training, "train", refuse)
    assert main(["train", "lm", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"scratchlv: runs/a: {os.strerror(number)}; ")
    assert said.endswith(f"{REMEDIES[number]}\n")
    assert ("space" in said) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_file_without_a_name_is_a_file():
    assert explain(OSError(errno.ENOSPC, "No space left on device")).startswith("a file: No space left on device; ")


@pytest.mark.parametrize(
    "command", [("train", "lm", "--data", "text:words.txt", "--out", "run"), ("train", "lm", "--out", "run")]
)
@pytest.mark.skipif(os.name != "posix", reason="only POSIX lets the current folder be deleted")
def test_a_deleted_current_folder_is_told(tmp_path, command):
    script = "import os, sys; from scratchlv.cli import main; os.rmdir(os.getcwd()); sys.exit(main(sys.argv[1:]))"
    (tmp_path / "here").mkdir()
    small = ["--set", "n_train=40", "--set", "n_val=4"]
    ended = subprocess.run(
        [sys.executable, "-c", script, *command, *small], cwd=tmp_path / "here", capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr == "scratchlv: the current folder no longer exists; cd to one that does\n"


def test_a_run_below_a_file_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run: Not a directory; check the path"):
        run_folder.create(tmp_path / "file" / "run", None, None)


def test_what_is_long_in_a_sentence_is_cut_and_the_rest_stays():
    sentence = f"/tmp/{'x' * 5000}/y.png: File name too long; choose a shorter name"
    cut = readable(sentence)
    assert len(cut) < 300
    assert cut.startswith("/tmp/xxx")
    assert cut.endswith("/y.png: File name too long; choose a shorter name")
    assert readable("a b " * 5000).count("…") == 1
    assert readable("short") == "short"


def test_a_line_end_in_a_name_makes_no_second_sentence():
    assert readable("a\nscratchlv: trained.png does not exist") == "a\\nscratchlv: trained.png does not exist"


def test_what_is_told_of_a_value_can_be_read():
    for found in (
        "x" * 10**7,
        10**6000,
        [[[[]]]] * 1000,
        {"a" * 1000: {"b" * 1000: [1] * 1000}},
        object(),
        b"x" * 10**6,
    ):
        assert 0 < len(shortened(found)) < 500
