"""The processor: the vectors that are used of it, its caches as each system tells them, its name."""

import struct
import sys

import pytest

from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks import processor
from scratchlv.kernels.building_blocks.processor import (
    REGISTERS,
    WIDTH,
    _Cache,
    _caches_in,
    _counted,
    _linux,
    _own_name,
    caches,
    use_vectors,
    width_of,
)

KIBI, MEBI = 1 << 10, 1 << 20


# --- vectors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "width"),
    [
        ("+avx512f,+avx512vl,+avx2,+fma,+avx", 16),
        ("-avx512f,+avx2,+fma,+avx", 8),
        ("+avx512f,+avx2,+fma,+avx,-avx512f", 8),
        ("+avx,+avx2,-fma", 4),
        ("+avx512f,+avx2,+fma,+avx,-avx", 4),
        ("+sse4.2", 4),
        ("+neon,+fp-armv8", 4),
        ("", 4),
    ],
)
def test_the_width_is_that_of_the_widest_vectors_that_llvm_is_told_of(features, width):
    assert width_of(features) == width


@pytest.fixture
def numba_compiles_for(monkeypatch):
    """Has Numba compile for a processor with these features from now on, or, ``late``, still for the one it has begun with."""

    def numba(features, late=False):
        monkeypatch.setattr(processor.config, "CPU_FEATURES", features)
        told = lambda self: ("triple", "name", features if late else processor.config.CPU_FEATURES)  # noqa: E731
        monkeypatch.setattr(type(processor.cpu_target.target_context.codegen()), "magic_tuple", told)

    return numba


AVX512, AVX2 = "+avx512f,+avx512vl,+avx2,+fma,+avx", "-avx512f,+avx2,+fma,+avx"


@pytest.mark.parametrize("said", [None, "", "16", "8", "4"])
def test_what_is_wider_than_said_is_hidden_from_llvm(said, numba_compiles_for, monkeypatch):
    numba_compiles_for(AVX512)
    monkeypatch.setattr(processor.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    width, registers = use_vectors(said)
    assert width == int(said or 16)
    assert registers == (32 if width == 16 else 16)
    assert width_of(processor.config.CPU_FEATURES) == width
    assert processor.config.CPU_FEATURES.startswith(AVX512)


def test_arm_has_32_registers_for_its_short_vectors(numba_compiles_for, monkeypatch):
    numba_compiles_for("+neon")
    monkeypatch.setattr(processor.llvm, "get_process_triple", lambda: "arm64-apple-darwin24")
    assert use_vectors(None) == (4, 32)


@pytest.mark.parametrize(
    ("said", "features", "reason"),
    [
        ("5", AVX512, r"SCRATCHLV_VECTORS=5: give 16, 8 or 4, the floats that a vector holds$"),
        ("abc", AVX512, r"SCRATCHLV_VECTORS=abc: give 16, 8 or 4"),
        ("-8", AVX512, r"give 16, 8 or 4"),
        ("8.0", AVX512, r"give 16, 8 or 4"),
        ("16", AVX2, r"=16: the vectors of this processor hold 8 floats; give 8 or 4$"),
        ("8", "+neon", r"=8: the vectors of this processor hold 4 floats; give 4$"),
    ],
)
def test_a_width_that_there_is_not_is_refused(said, features, reason, numba_compiles_for):
    numba_compiles_for(features)
    with pytest.raises(UserError, match=reason):
        use_vectors(said)


def test_a_width_that_comes_too_late_is_refused(numba_compiles_for):
    numba_compiles_for(AVX512, late=True)
    assert use_vectors("16") == (16, REGISTERS if WIDTH == 16 else 32)
    with pytest.raises(UserError, match="Numba has started before scratchlv was imported; import scratchlv first"):
        use_vectors("8")


# --- caches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "counted"),
    [
        # Zen 5, eight cores at a cache of 32 MiB, and two of them given to a virtual machine
        (
            {1: _Cache(48 * KIBI, 1), 2: _Cache(MEBI, 1), 3: _Cache(32 * MEBI, 8)},
            (48 * KIBI, MEBI, 32 * MEBI, 32 * MEBI),
        ),
        (
            {1: _Cache(48 * KIBI, 1), 2: _Cache(MEBI, 1), 3: _Cache(32 * MEBI, 2)},
            (48 * KIBI, MEBI, 32 * MEBI, 32 * MEBI),
        ),
        # an Intel server's cache, told to a virtual machine of two cores
        (
            {1: _Cache(48 * KIBI, 1), 2: _Cache(2 * MEBI, 1), 3: _Cache(300 * MEBI, 2)},
            (48 * KIBI, 2 * MEBI, 32 * MEBI, 300 * MEBI),
        ),
        # Apple's cores share the second level, and there is no third
        ({1: _Cache(128 * KIBI, 1), 2: _Cache(16 * MEBI, 4)}, (128 * KIBI, 4 * MEBI, 16 * MEBI, 16 * MEBI)),
        ({}, (32 * KIBI, 256 * KIBI, 8 * MEBI, 8 * MEBI)),
        ({1: _Cache(64 * KIBI, 1)}, (64 * KIBI, 256 * KIBI, 8 * MEBI, 8 * MEBI)),
    ],
)
def test_what_kernels_count_on(found, counted):
    assert tuple(_counted(found)) == counted


def test_the_caches_here_make_sense():
    first, second, last, whole = caches()
    assert 4 * KIBI <= first <= second <= last <= whole
    assert str(first // KIBI) in caches().told


def sysfs(folder, siblings, *caches):
    (folder / "topology").mkdir()
    (folder / "topology/thread_siblings_list").write_text(f"{siblings}\n")
    for i, cache in enumerate(caches):
        (folder / f"cache/index{i}").mkdir(parents=True)
        for name, text in zip(("level", "type", "size", "shared_cpu_list"), cache, strict=True):
            (folder / f"cache/index{i}" / name).write_text(f"{text}\n")
    return folder


def test_linux_tells_in_files(tmp_path):
    """Of a core with two threads, at a cache that eight such cores share; what holds instructions does not count."""
    cpu = sysfs(
        tmp_path,
        "0,8",
        (1, "Data", "48K", "0,8"),
        (1, "Instruction", "64K", "0,8"),
        (2, "Unified", "1280K", "0,8"),
        (3, "Unified", "1G", "0-15"),
    )
    assert _linux(cpu) == {1: _Cache(48 * KIBI, 1), 2: _Cache(1280 * KIBI, 1), 3: _Cache(1024 * MEBI, 8)}


@pytest.mark.parametrize(
    "index", [("one", "Data", "48K", "0"), (1, "Data", "", "0"), (1, "Data", "48", "0"), (1, "Instruction", "48K", "0")]
)
def test_what_linux_tells_and_nobody_understands_is_left_out(index, tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "_c_library", lambda: {9: "asked"})
    assert _linux(sysfs(tmp_path, "", index)) == {9: "asked"}


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_without_these_files_the_c_library_is_asked(tmp_path, monkeypatch):
    sizes = {188: 48 * KIBI, 191: 2 * MEBI, 194: -1}
    monkeypatch.setattr(processor.os, "sysconf", sizes.__getitem__)
    assert _linux(tmp_path / "none") == {1: _Cache(48 * KIBI, 1), 2: _Cache(2 * MEBI, 1)}

    def knows_none(number):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(processor.os, "sysconf", knows_none)
    assert _linux(tmp_path / "none") == {}


def test_windows_tells_in_records():
    """One for each core and each cache, of whatever else there is, and masks of the threads that share it."""
    pad = "4x" if struct.calcsize("P") == 8 else ""

    def record(mask, what, level=0, size=0, kind=0):
        return struct.pack(f"@NI{pad}BBHII4x", mask, what, level, 8, 64, size, kind)

    of_a_core = [record(0b11, 0), record(0b1100, 0), record(0b1111, 1), record(0b1111, 3)]
    of_caches = [
        record(0b11, 2, 1, 48 * KIBI, 2),
        record(0b11, 2, 1, 32 * KIBI, 1),
        record(0b1100, 2, 1, 32 * KIBI, 2),  # a slower core's
        record(0b11, 2, 2, 1280 * KIBI, 0),
        record(0b1111, 2, 3, 12 * MEBI, 0),
    ]
    raw = b"".join(of_a_core + of_caches)
    assert _caches_in(raw) == {1: _Cache(48 * KIBI, 1), 2: _Cache(1280 * KIBI, 1), 3: _Cache(12 * MEBI, 2)}
    assert _caches_in(raw + b"cut short") == _caches_in(raw)
    assert _caches_in(b"") == {}


# --- its name ----------------------------------------------------------------------------------------------------------


def test_the_name_is_what_the_system_says_and_what_llvm_takes_it_for(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Abacus: the second\nprocessor\t: 1\nmodel name\t: Abacus\n")
    assert _own_name(info) == "Abacus: the second"
    info.write_text("processor\t: 0\nBogoMIPS\t: 50\n")
    assert _own_name(info) == ""
    monkeypatch.setattr(processor, "_own_name", lambda: "")
    monkeypatch.setattr(processor.platform, "processor", lambda: "")
    monkeypatch.setattr(processor.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(processor.llvm, "get_host_cpu_name", lambda: "neoverse-n1")
    assert processor.name.__wrapped__() == "aarch64 (neoverse-n1)"
