"""Arguments that several commands share."""

import warnings
from argparse import Namespace

import pytest

from scratchlv.cli import build_parser, main

from .helpers import fails, misused, picture


@pytest.mark.parametrize("command", ["bench relu", "train lm --data scenes --out x", "demo", "evaluate x"])
def test_threads_that_are_not_there(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(capsys, *command.split(), "--threads", "0", saying=["--threads", "1 or more"])
    fails(capsys, *command.split(), "--threads", "900", saying=["--threads", "NUMBA_NUM_THREADS=900"])
    fails(capsys, *command.split(), "--threads", "100000", saying=["--threads", "1000 or less"])
    assert not list(tmp_path.iterdir())


def test_several_pictures_make_several_sheets(trained, tmp_path):
    images = [str(picture(tmp_path / f"{i}.png")) for i in range(2)]
    assert main(["caption", str(trained), *images, "--picture", str(tmp_path / "attention.png")]) == 0
    assert (tmp_path / "attention-1.png").exists()
    assert (tmp_path / "attention-2.png").exists()


@pytest.mark.parametrize(
    ("command", "saying"),
    [
        ("train lm --out x --seed=--", "argument --seed: '--' is not a whole number"),
        ("caption run a.png --beam=--", "argument --beam: invalid int value: '--'"),
        ("train lm --out x --preset=--", "argument --preset: invalid choice: '--'"),
    ],
)
def test_the_mark_that_ends_the_options_is_no_value(capsys, command, saying):
    assert saying in misused(capsys, *command.split())


def test_a_text_may_be_two_dashes():
    arguments = build_parser().parse_args(["generate", "run", "--prompt=--", "--seed", "3"])
    assert (arguments.prompt, arguments.seed) == ("--", 3)
    assert build_parser().parse_args(["translate", "run", "--", "--beam"]).texts == ["--beam"]
    assert build_parser().parse_args(["answer", "run", "x.png", "--", "--"]).question == "--"


LONG = "x" * 5000


@pytest.mark.parametrize(
    "command",
    [
        f"evaluate /tmp/{LONG}",
        f"train lm --out /tmp/{LONG}",
        f"train lm --out /tmp/{LONG} --resume",
        f"train lm --data text:/tmp/{LONG} --out OUT",
        f"train caption --data karpathy:/tmp/{LONG}:/tmp --out OUT",
        f"train vqa --encoder /tmp/{LONG} --out OUT --set n_train=20 --set n_val=5",
        f"data /tmp/{LONG}",
        f"gradcheck /tmp/{LONG}.py",
    ],
)
def test_a_path_that_is_too_long_is_a_sentence_that_can_be_read(capsys, tmp_path, command):
    assert main([part.replace("OUT", str(tmp_path / "run")) for part in command.split()]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said) < 3000
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("option", ["--n", "--step"])
def test_numbers_without_end_are_refused(capsys, trained, option):
    fails(capsys, "evaluate", trained, option, str(10**11), saying=[str(10**11)])


@pytest.mark.parametrize("beam", [10**30, 10**9, 0])
def test_a_beam_without_end_is_refused(capsys, trained, tmp_path, beam):
    image = picture(tmp_path / "a.png")
    fails(capsys, "caption", trained, image, "--beam", str(beam), saying=[f"--beam {beam}: give 1"])


@pytest.mark.parametrize("key", ["n_val", "n_train", "hidden", "steps", "batch"])
def test_settings_without_end_are_refused(capsys, tmp_path, key):
    fails(capsys, "train", "lm", "--out", tmp_path / "run", "--set", f"{key}={10**12}", saying=["at the most"])


def test_a_warning_is_one_line_and_pillows_are_none_of_ours(capsys, monkeypatch):
    def doctor(_):
        warnings.warn("a thing to know", stacklevel=1)
        warnings.warn_explicit("damaged", UserWarning, "/cache/x.kernel", 0)
        warnings.warn_explicit("Corrupt EXIF data", UserWarning, "/lib/PIL/Image.py", 3, module="PIL.TiffImagePlugin")

    parser = build_parser()
    monkeypatch.setattr("scratchlv.cli.build_parser", lambda: parser)
    monkeypatch.setattr(parser, "parse_args", lambda _: Namespace(command=doctor))
    assert main([]) == 0
    assert capsys.readouterr().err == "note: a thing to know\nnote: /cache/x.kernel: damaged\n"


def test_a_cache_below_a_home_that_is_not_there_is_a_sentence(capsys, monkeypatch):
    monkeypatch.setenv("SCRATCHLV_CACHE", "~nosuchuser/x")
    fails(capsys, "doctor", saying=["~nosuchuser/x: the home folder that ~ stands for is not known"])


def test_what_is_wrong_is_said_on_one_line_whatever_was_given(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "lm", "--nothing=a\nb"])
    assert capsys.readouterr().err.splitlines()[-1].endswith(r"--nothing=a\nb")
