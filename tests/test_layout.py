"""The tests mirror the house: who changes a file finds its test by its name."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The tests of what has no file of its own, and why it has none.
ELSEWHERE = {
    "scratchlv/__init__.py": ("tests/test_ops.py", "it hands on what others do"),
    "scratchlv/__main__.py": ("tests/cli/test_init.py", "a line that calls the command line"),
    "scratchlv/tokens.py": ("tests/data/test_vocabulary.py", "four numbers"),
    "kernels/building_blocks/__init__.py": ("tests/test_cores.py", "it tells Numba how many cores there are"),
    "scratchlv/bench/gpu/ceilings.py": ("tests/bench/gpu/test_command.py", "no CPU can say whether a time is right"),
    "scratchlv/bench/gpu/kernels.py": ("tests/bench/gpu/test_command.py", "no CPU can say whether a time is right"),
    "scratchlv/bench/gpu/timing.py": ("tests/bench/gpu/test_command.py", "no CPU can say whether a time is right"),
    "scratchlv/gradcheck/repair/edits_of_counts.py": (
        "tests/gradcheck/test_kinds.py",
        "a small example of each kind of bug is mended there",
    ),
    "scratchlv/gradcheck/repair/edits_of_rows.py": (
        "tests/gradcheck/test_kinds.py",
        "a small example of each kind of bug is mended there",
    ),
    "scratchlv/gradcheck/repair/edits_of_what_is_kept.py": (
        "tests/gradcheck/test_kinds.py",
        "a small example of each kind of bug is mended there",
    ),
    "scratchlv/gradcheck/repair/edits_of_shapes.py": (
        "tests/gradcheck/test_kinds.py",
        "a small example of each kind of bug is mended there",
    ),
    "scratchlv/gradcheck/repair/edits_of_names.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_occurrences.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_places.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_products.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_statements.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_terms.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_of_windows.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/edits_that_fit.py": (
        "tests/gradcheck/repair/test_edits.py",
        "each kind of edit mends a bug there",
    ),
    "scratchlv/gradcheck/repair/facts.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/guilt.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/mend.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/needed.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/search.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/sites.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/state.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/synthesis.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/repair/apart.py": (
        "tests/gradcheck/repair/test_find.py",
        "it is a part of the search for a line",
    ),
    "scratchlv/gradcheck/examination.py": (
        "tests/gradcheck/test_measured.py",
        "verdicts are what it makes of what is measured",
    ),
    "scratchlv/models/context.py": ("tests/models/test_translator.py", "a part of the decoder"),
    "scratchlv/models/decoder.py": (
        "tests/models/test_captioner.py",
        "it is checked within the models that it decodes for",
    ),
    "scratchlv/tasks/__init__.py": ("tests/tasks/test_data_argument.py", "a table of what the tasks take"),
    "scratchlv/tasks/demo.py": ("tests/cli/test_train.py", "it is a command"),
    "scratchlv/vision/imagenet.py": (
        "tests/vision/test_backbones.py",
        "it is what every backbone does to its pictures",
    ),
    "scratchlv/vision/resnet.py": ("tests/vision/test_backbones.py", "what holds of every backbone"),
    "scratchlv/vision/vgg.py": ("tests/vision/test_backbones.py", "what holds of every backbone"),
    "scratchlv/vision/weight_checks.py": (
        "tests/vision/test_backbones.py",
        "weights of another network are refused where backbones are read",
    ),
    "scratchlv/training/old_runs.py": ("tests/tasks/test_old_runs.py", "it is checked on whole runs"),
}


def test_file(path):
    """Where the tests of a file of ours stand; of a room all in one file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "kernels":
        return ROOT / "tests" / "kernels" / f"test_{parts[2 if parts[1] == 'building_blocks' else 1]}.py"
    *folders, name = parts[1:]
    return ROOT.joinpath("tests", *folders, f"test_{name.strip('_')}.py")


test_file.__test__ = False


def has_code(path):
    kinds = ast.FunctionDef | ast.ClassDef
    return path.name != "__init__.py" or any(
        isinstance(node, kinds) for node in ast.parse(path.read_text("utf-8")).body
    )


def test_every_file_has_its_test():
    files = [path for folder in ("scratchlv", "kernels") for path in (ROOT / folder).rglob("*.py") if has_code(path)]
    course = (
        ROOT / "scratchlv/exercises/course"
    )  # its exercises are data: tests/exercises/test_built_in.py has them all
    files = [path for path in files if not path.is_relative_to(course)]
    assert len(files) > 100
    missing = {str(path.relative_to(ROOT)): test_file(path) for path in files if not test_file(path).is_file()}
    without = {name: str(test.relative_to(ROOT)) for name, test in missing.items() if name not in ELSEWHERE}
    assert not without, "these have no test of their name"
    assert ELSEWHERE.keys() <= missing.keys(), "these have one now, or are no more"
    assert all((ROOT / test).is_file() for test, _ in ELSEWHERE.values())
