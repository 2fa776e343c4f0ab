"""What the documents point at is there: files, headings, commands; snippets run; the map of the lecture leaves nothing out."""

import argparse
import contextlib
import functools
import importlib.util
import io
import itertools
import linecache
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from scratchlv.cli import build_parser, main
from scratchlv.cli.train import new_config, overrides_of
from scratchlv.errors import UserError
from scratchlv.gradcheck import check, compare
from scratchlv.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
LECTURE = ROOT / "docs/lecture.md"
PAGES = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "docs/notebooks/*.md",
        "docs/photographs/README.md",
        "notebooks/README.md",
        "kernels/*/README.md",
    )
    for path in ROOT.glob(pattern)
)
# What stands for a number in a command, and a number of its kind; other capitals stand for names and may stay.
NUMBERS = {"N": "3", "K": "3", "B": "3", "X": "0.5", "P": "0.5"}

parser = functools.cache(build_parser)  # making one takes longer than all that it parses

pytestmark = pytest.mark.skipif(not LECTURE.is_file(), reason="the tests are not in a checkout")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# --- links -------------------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    """Where the page's links and images lead."""
    return re.findall(r"\]\(([^()\s]+)\)", prose(page.read_text("utf-8")))


def broken(page: Path, root: Path = ROOT) -> list[str]:
    """The links of a page that lead out of the project, to no file, or to no heading."""
    return [link for link in links(page) if not re.match(r"[a-z]+:", link) and not leads_somewhere(link, page, root)]


def leads_somewhere(link: str, page: Path, root: Path) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(root):
        return False
    return "#" not in link or (target.suffix == ".md" and anchor in anchors(target.read_text("utf-8")))


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The headings' names, as they stand in addresses: letters, digits and hyphens; a second of one name is NAME-1."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(text), re.MULTILINE):
        bare = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (f"{bare}-{n}" for n in itertools.count(1))
        names.add(bare if bare not in names else next(name for name in numbered if name not in names))
    return names


@each_page
def test_no_link_is_broken(page):
    assert not broken(page)


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "there.md").write_text(
        "# A title\n## Und dann, (noch) eins\n## Twice\n## Twice\n```\n# no title\n```\n"
    )
    fine = ["there.md", "there.md#a-title", "there.md#und-dann-noch-eins", "there.md#twice-1", ".", "#here"]
    wrong = ["gone.md", "there.md#gone", "there.md#no-title", "there.md#twice-2", "#gone", "../", "gone/there.md"]
    page = tmp_path / "page.md"
    page.write_text("# here\n" + " ".join(f"[a `name`]({link})" for link in [*fine, *wrong, "https://example.org/x"]))
    assert broken(page, tmp_path) == wrong


# --- paths that are named ------------------------------------------------------------------------------------------


@each_page
def test_no_path_that_is_named_is_gone(page):
    """Code spans such as ``scratchlv/decode.py``; of ``kernels/<operation>/`` there must be one."""
    named = re.findall(r"`((?:scratchlv|kernels|tests|docs|benchmarks)/[\w./<>-]*)`", page.read_text("utf-8"))
    assert not [path for path in named if not any(ROOT.glob(re.sub("<.*?>", "*", path).rstrip("/")))]


# --- commands ------------------------------------------------------------------------------------------------------


def commands(text: str) -> list[str]:
    """All commands of a page: code spans that begin with ``scratchlv`` or loop over it, and lines of fenced blocks with it."""
    written = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]
    spans = [command for span in written for command in looped(span) if command.startswith("scratchlv ")]
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.split(r"\n|&&", block.replace("\\\n", " "))]
    calls = [re.sub(r"^\S*/", "", line.strip()) for line in lines if re.match(r" *(\S*/)?scratchlv\s", line + " ")]
    return spans + calls


def looped(span: str) -> list[str]:
    """What a span says: itself, or the commands of a loop of the shell, once for each of its values."""
    loop = re.fullmatch(r"for (\w+) in (.+?); do (.+); done", span)
    if loop is None:
        return [span]
    name, values, body = loop.groups()
    return [part.strip().replace(f"${name}", value) for value in values.split() for part in body.split(";")]


def spelt_out(command: str) -> list[list[str]]:
    """The arguments of a command, once for each choice: ``[--split val|test]`` is given, with val and with test."""
    words = [word for word in shlex.split(command, comments=True) if word != "…"][1:]
    choices = [[NUMBERS.get(choice, choice) for choice in word.strip("[]").split("|")] for word in words]
    return [list(chosen) for chosen in itertools.product(*choices)]


def refused(command: str) -> bool:
    """Whether the parser refuses one of the command's spellings; its bare name, as prose has it, is no mistake."""
    return any(not (is_a_name(arguments) or is_accepted(arguments)) for arguments in spelt_out(command))


def is_accepted(arguments: list[str]) -> bool:
    try:
        parser().parse_args(arguments)
    except SystemExit as stopped:
        return not stopped.code  # --help
    return True


def is_a_name(words: list[str]) -> bool:
    """Whether these are the words of a command, ``train lm``, and nothing else."""
    found = parser()
    for word in words:
        below = [action.choices for action in found._actions if isinstance(action, argparse._SubParsersAction)]
        if not below or word not in below[0]:
            return False
        found = below[0][word]
    return True


@each_page
def test_every_command_is_one(page, capsys):
    wrong = [command for command in commands(page.read_text("utf-8")) if refused(command)]
    assert not wrong, capsys.readouterr().err


def test_a_wrong_command_is_found(capsys):
    page = """`scratchlv train lm --out RUN [--layers N]` and `scratchlv train lm
    --gone RUN`, `scratchlv gone`, `scratchlv train …`,
    `scratchlv translate RUN`, `scratchlv data scenes --task vqa|gone --out OUT.png`
```sh
.venv/bin/python -m pytest && .venv/bin/scratchlv doctor   # what can run here
scratchlv generate RUN --top-k K \\
    --top-p P -n many
```
"""
    found = commands(page)
    assert len(found) == 8
    assert [command.split("#")[0].strip() for command in found if refused(command)] == [
        "scratchlv train lm --gone RUN",
        "scratchlv gone",
        "scratchlv translate RUN",
        "scratchlv data scenes --task vqa|gone --out OUT.png",
        "scratchlv generate RUN --top-k K      --top-p P -n many",
    ]


def wrong_settings(command: str) -> list[str]:
    """What a new run says against the options and settings of a command, which the parser accepts.

    A command that goes on from a run is left out: there is no such run.
    """
    found = []
    for words in spelt_out(command):
        if words[:1] == ["train"] and not is_a_name(words) and not {"--help", "--resume", "--start-from"} & {*words}:
            arguments = parser().parse_args(words)
            try:
                new_config(arguments, overrides_of(arguments))
            except UserError as error:
                found.append(f"{command}: {error}")
    return found


@each_page
def test_every_setting_is_one(page):
    accepted = [command for command in commands(page.read_text("utf-8")) if not refused(command)]
    assert not [error for command in accepted for error in wrong_settings(command)]


def test_a_wrong_setting_is_found():
    page = """`scratchlv train lm --set gone=3 --out RUN`, `for MODEL in naive attention; do scratchlv train caption
    --model $MODEL --set query=current --out runs/$MODEL; scratchlv evaluate runs/$MODEL; done`,
    `scratchlv train caption --layer gone --out RUN`"""
    found = commands(page)
    assert len(found) == 6
    assert [command for command in found if wrong_settings(command)] == [
        "scratchlv train lm --set gone=3 --out RUN",
        "scratchlv train caption --model naive --set query=current --out runs/naive",
        "scratchlv train caption --layer gone --out RUN",
    ]


# --- snippets ------------------------------------------------------------------------------------------------------


def fenced(text: str) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def snippets(text: str) -> list[tuple[str, str]]:
    """Each block of Python, and what it prints: the next block, if that has no language."""
    pairs = itertools.pairwise([*fenced(text), ("end", "")])
    return [
        (code, "" if follows else printed) for (language, code), (follows, printed) in pairs if language == "python"
    ]


def said(code: str, names: dict) -> str:
    out = io.StringIO()
    linecache.cache["layer.py"] = (
        len(code),
        None,
        code.splitlines(keepends=True),
        "layer.py",
    )  # its lines can be looked up
    with contextlib.redirect_stdout(out):
        exec(compile(code, "layer.py", "exec"), names)
    return out.getvalue()


def without_noise(text: str) -> str:
    """Errors of a size that is rounding, which another machine rounds otherwise."""
    return re.sub(r"\d\.\de-(0[7-9]|[1-9]\d)", "tiny", text)


def test_the_snippets_of_the_readme_print_what_it_says():
    names: dict = {}
    found = snippets((ROOT / "README.md").read_text("utf-8"))
    assert len(found) == 2
    for code, printed in found:
        assert printed
        assert without_noise(said(code, names)) == without_noise(printed)


def test_the_bug_of_the_readme_is_mended_as_it_says():
    text = (ROOT / "README.md").read_text("utf-8")
    code = snippets(text)[0][0]
    wrong, mended = "da @ W,", re.search(r"Write `(da @ .*?)`, and it says `right`", text)[1] + ","
    assert code.count(wrong) == 1
    assert said(code.replace(wrong, mended), {}).startswith("right")


def test_the_layer_of_the_checkers_page_is_found_wrong_as_it_says(tmp_path, monkeypatch, capsys):
    found = snippets((ROOT / "docs/gradcheck.md").read_text("utf-8"))
    ((code, printed),) = [pair for pair in found if pair[0].startswith("# layer.py\n")]
    (tmp_path / "layer.py").write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["gradcheck", "layer.py"]) == 1
    assert without_noise(capsys.readouterr().out) == without_noise(printed)


def test_the_line_that_the_readme_changes_is_there():
    lines = (ROOT / "kernels/matmul/micro_kernels.py").read_text("utf-8")
    assert re.findall(r"^HEIGHT = (\d+)", lines, re.MULTILINE) == ["6"]


@pytest.fixture
def example(tmp_path):
    """A folder with the files of CONTRIBUTING's example: their first line is a comment, their path."""
    for language, code in fenced((ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        if language in ("python", "c"):
            first, text = code.split("\n", 1)
            file = tmp_path / first.lstrip("#/ ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    return tmp_path


def module(file: Path):
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_example_of_an_operation_is_right(example):
    room = example / "kernels/tanh"
    reference, fast = module(room / "reference.py"), module(room / "numba_cpu.py")
    for inputs in module(room / "__init__.py").cases(np.random.default_rng(0)).values():
        assert check(reference.forward, reference.backward, inputs, max_elements=8).ok or not inputs["x"].size
        assert compare(fast, reference, inputs).ok


@pytest.mark.parametrize("name", ["reference.py", "__init__.py", "numba_cpu.py"])
def test_the_example_is_the_room(example, name):
    assert (example / "kernels/tanh" / name).read_text("utf-8") == (ROOT / "kernels/tanh" / name).read_text("utf-8")


# --- the map is whole ----------------------------------------------------------------------------------------------


def on_the_map() -> set[Path]:
    return {(LECTURE.parent / link.partition("#")[0]).resolve() for link in links(LECTURE)}


def test_every_room_is_on_the_map():
    rooms = {path.parent for path in (ROOT / "kernels").glob("*/README.md")}
    assert rooms == {path.parent for path in (ROOT / "kernels").glob("*/__init__.py")}
    assert not rooms - {place.parent for place in on_the_map()}


@pytest.mark.parametrize("package", ["models", "metrics", "data/scenes"])
def test_every_module_is_on_the_map(package):
    modules = {path for path in (ROOT / "scratchlv" / package).glob("*.py") if path.name != "__init__.py"}
    assert modules
    assert not modules - on_the_map()


def test_every_task_can_be_trained_from_the_map():
    trained = {command.split()[2] for command in commands(LECTURE.read_text("utf-8")) if " train " in command}
    assert trained == set(TASKS)
