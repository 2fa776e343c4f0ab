"""The sizes that kernels are cut by: derived from the caches, tuned, or given; and none changes a bit."""

import json
import warnings

import pytest

from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks import parameters
from scratchlv.kernels.building_blocks.parameters import PARAMETERS, VARIABLE, choices, measured_here, tuned_file, value
from scratchlv.kernels.building_blocks.processor import Caches

from . import bits

KIBI, MEBI = 1 << 10, 1 << 20
ZEN = Caches(48 * KIBI, MEBI, 32 * MEBI, 32 * MEBI)
LAPTOP = Caches(32 * KIBI, 256 * KIBI, 8 * MEBI, 8 * MEBI)
SERVER = Caches(48 * KIBI, 2 * MEBI, 32 * MEBI, 300 * MEBI)
BLOCK = "adam.block"


@pytest.fixture(autouse=True)
def afresh(monkeypatch, tmp_path):
    """Nothing is tuned or given, and what was chosen before is forgotten, here and afterwards."""
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    choices.cache_clear()
    yield
    choices.cache_clear()


def test_each_follows_from_the_caches_and_can_be_what_it_is():
    for name, parameter in PARAMETERS.items():
        room, _, own = name.partition(".")
        assert room and own and name == parameter.name and parameter.meaning
        for caches in (ZEN, LAPTOP, SERVER, Caches(5000, 7001, 9003, 9003)):
            assert parameter.problem(parameter.derived(caches)) is None
        for tried in parameter.tried:
            assert parameter.problem(tried) is None
        assert list(parameter.tried) == sorted(set(parameter.tried))


def test_what_was_measured_on_zen_is_derived_there():
    derived = {name: parameter.derived(ZEN) for name, parameter in PARAMETERS.items()}
    measured = {
        "memory.larger_than_caches": 16 * MEBI,
        "conv2d.band": 256 * KIBI,
        "conv2d.shared_weights": MEBI,
        "conv2d.winograd_block": 512 * KIBI,
        "conv2d.winograd_chunk": 4 * MEBI,
        "conv2d.winograd_weights": 10 * MEBI,
    }
    assert measured.items() <= derived.items()


def test_what_is_given_goes_before_what_is_tuned_and_that_before_what_is_derived(monkeypatch):
    assert {choice.source for choice in choices().values()} == {"derived"}
    keep({BLOCK: 480})
    choices.cache_clear()
    assert choices()[BLOCK] == (480, "tuned")
    monkeypatch.setenv(VARIABLE, f" {BLOCK}=16,memory.larger_than_caches=5\n")
    choices.cache_clear()
    assert choices()[BLOCK] == (16, VARIABLE)
    assert value("memory.larger_than_caches") == 5
    assert choices()["conv2d.band"].source == "derived"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("adam.blocks=16", "there is no parameter 'adam.blocks'; `scratchlv doctor` lists them"),
        ("16", "there is no parameter '16'"),
        ("=16", "there is no parameter ''"),
        (BLOCK, "adam.block: give a whole number, as adam.block="),
        (f"{BLOCK}=many", "adam.block=many: give a whole number"),
        (f"{BLOCK}=-16", "adam.block=-16: give a whole number"),
        (f"{BLOCK}=16.0", "adam.block=16.0: give a whole number"),
        (f"{BLOCK}=١٦", "give a whole number"),
        (f"{BLOCK}=0", "adam.block=0: it must be 16 or more"),
        (f"{BLOCK}=17", "adam.block=17: it must be a multiple of 16"),
        (f"{BLOCK}={1 << 60}", "it must be 1099511627776 or less"),
        (f"{BLOCK}={'9' * 5000}", "it must be 1099511627776 or less"),
        (f"{BLOCK}=16 {BLOCK}=32", "adam.block is given twice; give it once"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(given, reason, monkeypatch):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(UserError, match="^SCRATCHLV_PARAMETERS: ") as refused:
        choices()
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 300


# --- what was tuned ----------------------------------------------------------------------------------------------------


def keep(values, other=()):
    tuned_file().parent.mkdir(exist_ok=True)
    tuned_file().write_text(json.dumps(measured_here() | {"values": values} | dict(other)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read or is damaged"),
        ("[]", "cannot be read or is damaged"),
        ("{", "cannot be read or is damaged"),
        ("\0\xff", "cannot be read or is damaged"),
        ('{"values": {}}', "cannot be read or is damaged"),
        ({"scratchlv": "0.0.1"}, "is of another processor or version of scratchlv"),
        ({"processor": "Abacus"}, "is of another processor or version of scratchlv"),
        ({"caches": [1, 2, 3, 4]}, "is of another processor or version of scratchlv"),
        ({"vectors": 3}, "is of another processor or version of scratchlv"),
        ({"values": [1]}, "names what is none, or gives a value that it cannot have"),
        ({"values": {"adam.blocks": 16}}, "names what is none"),
        ({"values": {BLOCK: 17}}, "a value that it cannot have"),
        ({"values": {BLOCK: True}}, "a value that it cannot have"),
        ({"values": {BLOCK: "16"}}, "a value that it cannot have"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_of_and_nothing_of_it_is_used(text, reason):
    keep({BLOCK: 32}, text if isinstance(text, dict) else ())
    if isinstance(text, str):
        tuned_file().write_text(text, "latin-1")
    with pytest.warns(UserWarning, match=reason) as told:
        assert {choice.source for choice in choices().values()} == {"derived"}
    (warning,) = told
    assert str(tuned_file()) in str(warning.message)
    assert "scratchlv tune --forget" in str(warning.message)


def test_where_nothing_was_tuned_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choices()


def test_other_vectors_of_a_processor_have_a_file_of_their_own(monkeypatch):
    before = tuned_file()
    monkeypatch.setattr(parameters, "WIDTH", 3)
    assert tuned_file() != before
    monkeypatch.setattr(parameters.processor, "name", lambda: "Abacus")
    assert tuned_file().name == "Abacus-3.json"


@pytest.mark.slow
def test_no_parameter_changes_a_bit(tmp_path):
    """All of them a third of what they are, and five times as much, in the rooms that have some."""
    rooms = sorted({name.partition(".")[0] for name in PARAMETERS} - {"memory"} | {"embedding", "max_pool2d"})
    with_these = []
    for factor in (1, 1 / 3, 5):
        numbers = {name: int(value(name) * factor) // each.step * each.step for name, each in PARAMETERS.items()}
        given = " ".join(f"{name}={max(number, PARAMETERS[name].step)}" for name, number in numbers.items())
        with_these.append(bits.in_another_process(rooms, tmp_path, SCRATCHLV_PARAMETERS=given))
    assert with_these[0] == with_these[1] == with_these[2]
