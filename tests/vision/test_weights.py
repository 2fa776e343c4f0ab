"""Weights files are written here byte by byte, so that no torch is needed, and so that they can be wrong."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from scratchlv.errors import UserError
from scratchlv.vision import weights
from scratchlv.vision.weights import read_torch, read_weights

TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


class Name(str):
    """A global: "module attribute"."""


class Call(tuple):
    """(Name, arguments)."""


class Persistent(tuple):
    """A persistent identity."""


def code(thing) -> bytes:
    """The instructions of pickle's protocol 2 that build a thing."""
    match thing:
        case None:
            return pickle.NONE
        case bool():
            return pickle.NEWTRUE if thing else pickle.NEWFALSE
        case int():
            return pickle.LONG1 + bytes([16]) + thing.to_bytes(16, "little", signed=True)
        case float():
            return pickle.BINFLOAT + struct.pack(">d", thing)
        case Name():
            return pickle.GLOBAL + thing.replace(" ", "\n").encode() + b"\n"
        case str():
            return pickle.BINUNICODE + len(thing.encode()).to_bytes(4, "little") + thing.encode()
        case Call():
            return code(thing[0]) + code(thing[1]) + pickle.REDUCE
        case Persistent():
            return code(tuple(thing)) + pickle.BINPERSID
        case tuple():
            return pickle.MARK + b"".join(map(code, thing)) + pickle.TUPLE
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(code, thing)) + pickle.APPENDS
        case dict():
            items = b"".join(code(key) + code(value) for key, value in thing.items())
            return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    raise TypeError(thing)


def pickled(thing) -> bytes:
    return pickle.PROTO + b"\2" + (thing if isinstance(thing, bytes) else code(thing)) + pickle.STOP


ORDERED_DICT = Call((Name("collections OrderedDict"), ()))


def tensor(key="0", shape=(), strides=(), *, offset=0, count=1, kind="FloatStorage", legacy=False) -> Call:
    identity = ("storage", Name(f"torch {kind}"), key, "cpu", count) + ((None,) if legacy else ())
    arguments = (Persistent(identity), offset, tuple(shape), tuple(strides), False, ORDERED_DICT)
    return Call((Name("torch._utils _rebuild_tensor_v2"), arguments))


def write(path, state, blocks: dict[str, np.ndarray], form: str):
    """A file of ``state`` (a thing or instructions) with its blocks of numbers, zip or legacy."""
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled(state))
            archive.writestr("archive/byteorder", "little")
            for key, numbers in blocks.items():
                archive.writestr(f"archive/data/{key}", numbers.tobytes())
    else:
        machine = {"protocol_version": 1001, "little_endian": True}
        parts = [pickled(thing) for thing in (0x1950A86A20F9469CFC6C, 1001, machine, state, list(blocks))]
        for numbers in blocks.values():
            parts += [np.int64(numbers.size).tobytes(), numbers.tobytes()]
        path.write_bytes(b"".join(parts))
    return path


@pytest.fixture(params=["zip", "legacy"])
def form(request):
    return request.param


@pytest.fixture
def save(tmp_path, form):
    return lambda state, blocks: write(tmp_path / "weights.pth", state, blocks, form)


@pytest.fixture
def read_entry(save, form):
    """Reads a file with one tensor over a block of float32 numbers."""

    def read(numbers, **how):
        count = how.pop("count", numbers.size)
        kind = how.pop("kind", None) or TYPES[numbers.dtype.name]
        state = {"w": tensor(count=count, kind=kind, legacy=form == "legacy", **how)}
        return read_torch(save(state, {"0": numbers}))["w"]

    return read


@pytest.mark.parametrize("dtype", sorted(TYPES))
def test_reads_every_number(read_entry, dtype):
    numbers = np.arange(24).astype(dtype)
    w = read_entry(numbers, shape=(2, 3, 4), strides=(12, 4, 1))
    assert w.dtype == dtype
    assert np.array_equal(w, numbers.reshape(2, 3, 4))


def test_honours_strides_and_offset(read_entry):
    numbers = np.arange(31, dtype=np.float32)
    w = read_entry(numbers, shape=(4, 2, 3), strides=(1, 15, 5), offset=1)
    expected = [[[1 + i + 15 * j + 5 * k for k in range(3)] for j in range(2)] for i in range(4)]
    assert np.array_equal(w, np.array(expected))
    assert w.flags.c_contiguous


def test_scalar_empty_and_gaps(read_entry):
    numbers = np.arange(5, dtype=np.float32)
    assert read_entry(numbers, shape=(), offset=4) == 4
    assert read_entry(numbers, shape=(0, 7), strides=(7, 1)).shape == (0, 7)
    assert np.array_equal(read_entry(numbers, shape=(3, 1), strides=(2, 99)), [[0], [2], [4]])


def test_bfloat16_becomes_float32(read_entry):
    upper_halves = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    w = read_entry(upper_halves, kind="BFloat16Storage", shape=(2,), strides=(1,))
    assert w.dtype == np.float32
    assert np.array_equal(w, [1.5, -2.0])


def test_order_tied_tensors_parameters_and_metadata(save, form):
    legacy = form == "legacy"
    tied = tensor("7", (2, 3), (3, 1), count=6, legacy=legacy)
    other = Call(
        (Name("torch._utils _rebuild_parameter"), (tensor("8", (2,), (1,), count=2, legacy=legacy), True, None))
    )
    items = b"".join(code(x) for x in ("z", tied, "a", other, "m", tied))
    metadata = code({"_metadata": {"version": 1}}) + pickle.BUILD
    state = code(ORDERED_DICT) + pickle.MARK + items + pickle.SETITEMS + metadata
    blocks = {"8": np.array([8, 9], np.float32), "7": np.arange(6, dtype=np.float32)}
    weights = read_torch(save(state, blocks))
    assert list(weights) == ["z", "a", "m"]
    assert np.array_equal(weights["z"], np.arange(6).reshape(2, 3))
    assert np.array_equal(weights["a"], [8, 9])
    weights["z"][:] = 0
    assert weights["m"].any(), "each array owns its numbers"


@pytest.mark.parametrize(
    "how",
    [
        {"shape": (25,), "strides": (1,)},
        {"shape": (24,), "strides": (1,), "offset": 1},
        {"shape": (4,), "strides": (8,)},
        {"shape": (4, 6), "strides": (5, 1)},  # rows overlap by one
        {"shape": (1000, 1000), "strides": (0, 0)},
        {"shape": (2,), "strides": (-1,), "offset": 5},
        {"shape": (2,), "strides": (1,), "offset": -1},
        {"shape": (-2,), "strides": (1,)},
        {"shape": (2, 3), "strides": (1,)},
        {"shape": (10**30,), "strides": (1,)},
        {"shape": (0, 10**30), "strides": (1, 1)},
        {"shape": (2.5,), "strides": (1,)},
        {"shape": (True,), "strides": (1,)},
        {"shape": (1,) * 40, "strides": (1,) * 40},
        {"shape": (2,), "strides": (1,), "count": 10**15},
        {"shape": (2,), "strides": (1,), "count": 23},
        {"shape": (2,), "strides": (1,), "count": -24},
        {"shape": (2,), "strides": (1,), "kind": "ComplexFloatStorage"},
        {"shape": (2,), "strides": (1,), "kind": "UntypedStorage"},
    ],
    ids=str,
)
def test_refuses_impossible_tensors(read_entry, how):
    with pytest.raises(UserError, match=r"weights\.pth: "):
        read_entry(np.zeros(24, np.float32), **how)


def evil(marker) -> dict[str, bytes]:
    """Pickles that would write ``marker`` if anything in them were called."""
    command = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w').close()"
    inner = pickled(Call((Name("os system"), (command,))))
    stack_global = code("os") + code("system") + pickle.STACK_GLOBAL + code((command,)) + pickle.REDUCE
    return {
        "os.system": code(Call((Name("os system"), (command,)))),
        "builtins.eval": code(Call((Name("builtins eval"), (python,)))),
        "an allowed module's other name": code(
            Call((Name("torch.storage _load_from_bytes"), (inner.decode("latin-1"),)))
        ),
        "a dotted attribute": code(Call((Name("collections OrderedDict.fromkeys.__self__.__init__"), ()))),
        "a path through an allowed name": code(Call((Name("torch._utils _rebuild_tensor_v2.__globals__"), ()))),
        "STACK_GLOBAL": stack_global,
        "INST": pickle.MARK + code(command) + pickle.INST + b"os\nsystem\n",
        "OBJ": pickle.MARK + code(Name("os system")) + code(command) + pickle.OBJ,
        "NEWOBJ": code(Name("collections OrderedDict")) + code(()) + pickle.NEWOBJ,
        "hidden in a tensor's hooks": code({"w": tensor()}).replace(
            code(ORDERED_DICT), code(Call((Name("os system"), (command,))))
        ),
    }


@pytest.mark.parametrize("trick", sorted(evil("")))
def test_nothing_is_executed(tmp_path, save, trick):
    marker = tmp_path / "executed"
    instructions = evil(marker)[trick]
    with pytest.raises(UserError, match="no tensor needs"):
        read_torch(save(instructions, {"0": np.zeros(1, np.float32)}))
    assert not marker.exists()


def test_the_planted_pickle_does_execute_elsewhere(tmp_path):
    """The pickles above are live: unpickled without care, the first one runs its command."""
    marker = tmp_path / "executed"
    pickle.loads(pickled(evil(marker)["os.system"]))
    assert marker.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        code(Name("torch._utils _rebuild_tensor_v2")) + code({"__defaults__": ()}) + pickle.BUILD,
        code(Call((Name("torch._utils _rebuild_tensor_v2"), ("storage", 0, (), (), False, None)))),
        code(Call((Name("torch FloatStorage"), (10**12,)))),
        code(Call((Name("collections OrderedDict"), ([("a", 1)],)))),
        code({"w": Persistent(("storage", "FloatStorage", "0", "cpu", 1))}),
        code({"w": Persistent(("module", Name("torch FloatStorage"), "0", "cpu", 1))}),
        code({"w": Persistent(())}),
        code({"w": tensor(), "epoch": 3}),
        code({"state_dict": {"w": tensor()}}),
        code([1, 2]),
        pickle.BINUNICODE + b"\xff\xff\xff\x7f" + b"short",
        pickle.REDUCE,
        pickle.POP,
    ],
    ids=range(13),
)
def test_refuses_what_is_no_dictionary_of_tensors(save, instructions):
    with pytest.raises(UserError, match=r"weights\.pth: it"):
        read_torch(save(instructions, {"0": np.zeros(1, np.float32)}))


def test_an_object_number_allocates_nothing(save, form):
    state = (
        code({"w": tensor(shape=(1,), strides=(1,), legacy=form == "legacy")})
        + pickle.LONG_BINPUT
        + b"\xff\xff\xff\x0f"
    )
    assert read_torch(save(state, {"0": np.float32([3])}))["w"] == 3


def test_refuses_tensors_that_expand_a_small_file(save, form):
    one = tensor(shape=(1000,), strides=(1,), count=1000, legacy=form == "legacy")
    with pytest.raises(
        UserError, match="would take .* bytes, and the file has .*: it is cut off, or not to be trusted"
    ):
        read_torch(save({f"w{i}": one for i in range(2000)}, {"0": np.zeros(1000, np.float32)}))


@pytest.mark.parametrize("strides", [(1 << 61, 1), (1 << 70, 1), (0, 1)])
def test_the_stride_of_an_axis_of_one_may_be_any_number(read_entry, strides):
    assert np.array_equal(read_entry(np.float32([7, 8]), shape=(1, 2), strides=strides), [[7, 8]])


@pytest.mark.parametrize("shape", [(0, 1 << 62), (0, 1 << 70), (1 << 40, 0, 1 << 40)])
def test_an_empty_tensor_of_enormous_axes_is_refused(read_entry, shape):
    with pytest.raises(UserError, match="would take"):
        read_entry(np.zeros(24, np.float32), shape=shape, strides=(1,) * len(shape))


def colliding() -> bytes:
    """Whole numbers of one hash as keys: a dictionary of n of them takes n² comparisons."""
    number = (2**61 - 1).__mul__
    items = b"".join(
        pickle.LONG1 + bytes([20]) + number(k).to_bytes(20, "little", signed=True) + pickle.NONE
        for k in range(1, 38_000)
    )
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def nested(n: int) -> bytes:
    return pickle.EMPTY_LIST * n + pickle.APPEND * (n - 1)


def doubling(n: int) -> bytes:
    """A tuple of twice the same, of twice the same …: what goes through all of it never ends."""
    return code(()) + (pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.TUPLE2) * n


SLOW = {
    "colliding keys": colliding(),
    "keys that are tuples": pickle.EMPTY_DICT + doubling(60) + pickle.NONE + pickle.SETITEM,
    "empty dictionaries": pickle.MARK + pickle.EMPTY_DICT * 4_000_000 + pickle.TUPLE,
    "nested lists": nested(90_000),
    "doubled tuples": code("w") + doubling(60) + pickle.TUPLE2,
    "a doubled entry": pickle.EMPTY_DICT + code("w") + doubling(60) + pickle.SETITEM,
    "a shape without end": code("x") + pickle.MARK + code(1) * 150_000 + pickle.TUPLE + pickle.TUPLE2,
    "a name of a megabyte": code({"x" * 1_000_000: 1}),
    "a block of a megabyte": code({"w": tensor(key="y" * 1_000_000)}),
}


@pytest.mark.parametrize("key", [1, True, (1,), 0.5, None])
def test_the_keys_of_a_dictionary_are_texts(save, key):
    """Of others the hash can be chosen, and a dictionary of one hash takes the square of its time."""
    with pytest.raises(UserError, match="for a key; those of a state dictionary are texts"):
        read_torch(save(pickle.EMPTY_DICT + code(key) + pickle.NONE + pickle.SETITEM, {}))


@pytest.mark.parametrize("trick", SLOW)
def test_a_pickle_made_to_take_long_is_refused_soon_and_briefly(save, trick, monkeypatch):
    """Its instructions are counted: no test of time, which would depend on the machine."""
    done = []
    obey = weights._Machine.obey
    monkeypatch.setattr(weights._Machine, "obey", lambda self, *step: done.append(1) or obey(self, *step))
    with pytest.raises(UserError) as refused:
        read_torch(save(SLOW[trick], {}))
    assert len(done) <= weights._MAX_INSTRUCTIONS + 50
    assert len(str(refused.value)) < 600


def test_a_zip_of_very_many_members_is_refused_by_the_length_of_its_list(tmp_path):
    path = tmp_path / "many.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(2000):
            archive.writestr(f"{k:01100d}", b"")
    with pytest.raises(UserError, match="its list of members takes"):
        read_torch(path)


def test_members_that_overlap_are_refused(tmp_path):
    state = {name: tensor(name, (4,), (1,), count=4) for name in "ab"}
    path = write(tmp_path / "weights.pth", state, {name: np.zeros(4, np.float32) for name in "ab"}, "zip")
    content = path.read_bytes()
    first, second = (content.index(b"archive/data/" + name) - 30 for name in (b"a", b"b"))
    at = content.rindex(second.to_bytes(4, "little") + b"archive/data/b")
    path.write_bytes(content[:at] + (first + 2).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(UserError, match="two of its members overlap"):
        read_torch(path)


# --- safetensors -----------------------------------------------------------------------------------------------------


def safetensors_file(folder, header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "weights.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def described(dtype="F32", shape=(2,), place=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


def test_what_the_library_writes_is_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 2, (3, 2)).astype(name) for name in ("f2", "f4", "f8", "i1", "u2", "i8", "?")}
    arrays |= {"scalar": np.array(2.5), "empty": np.zeros((0, 4), np.float32)}
    save_file(arrays, tmp_path / "w.safetensors", {"by": "us"})
    found = read_weights(tmp_path / "w.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_bfloat16_of_safetensors_becomes_float32(tmp_path):
    halves = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    path = safetensors_file(tmp_path, {"w": described("BF16", (2,), (0, 4))}, halves.tobytes())
    assert read_weights(path)["w"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4", "F6_E2M3", "C64", "x" * 100_000])
def test_types_that_are_not_read_are_named_with_those_that_are(tmp_path, dtype):
    with pytest.raises(
        UserError, match=r"has numbers of the type '.*', and F64, F32, F16, BF16, .* are read"
    ) as refused:
        read_weights(safetensors_file(tmp_path, {"w": described(dtype, (8,), (0, 8))}))
    assert len(str(refused.value)) < 500


LYING = {
    "of 70 axes": {"w": described(shape=(1,) * 69 + (2,))},
    "of an enormous empty axis": {"w": described(shape=(0, 1 << 61), place=(0, 0)), "v": described()},
    "larger than the file": {"w": described(shape=(1 << 40,), place=(0, 1 << 42))},
    "of negative size": {"w": described(shape=(-2,), place=(0, -8))},
    "backwards": {"w": described(place=(8, 0))},
    "of two in one place": {"w": described(), "v": described()},
    "with a hole": {"w": described(shape=(1,), place=(4, 8))},
    "too short": {"w": described(shape=(1,), place=(0, 4))},
    "of another size than it says": {"w": described(shape=(3,))},
    "without a type": {"w": {"shape": [2], "data_offsets": [0, 8]}},
    "of a shape that is a text": {"w": {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}},
    "of a number that is true": {"w": described(shape=(True, 2))},
    "of an object": {"w": 3},
    "no object": [1],
    "no JSON": b"{",
    "nested": b"[" * 200_000,
    "a number of many digits": b'{"w": ' + b"9" * 10_000 + b"}",
    "no UTF-8": b'{"\xff": 1}',
}


def test_tensors_that_lie_upon_each_other_are_refused_though_the_file_is_long_enough(tmp_path):
    path = safetensors_file(tmp_path, {"w": described(), "v": described()}, bytes(16))
    with pytest.raises(UserError, match="begins at byte 0, and the one before ends at 8"):
        read_weights(path)


@pytest.mark.parametrize("lie", LYING)
def test_a_description_that_lies_is_refused(tmp_path, lie):
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged or no safetensors file") as refused:
        read_weights(safetensors_file(tmp_path, LYING[lie]))
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("length", [0, 1 << 30, (1 << 64) - 1])
def test_a_length_that_lies_is_refused(tmp_path, length):
    with pytest.raises(UserError, match="is damaged or no safetensors file"):
        read_weights(safetensors_file(tmp_path, {"w": described()}, length=length))


def test_refuses_every_truncation(tmp_path, form):
    state = {"w": tensor(shape=(2, 3), strides=(1, 2), count=6, legacy=form == "legacy")}
    whole = write(tmp_path / "whole.pth", state, {"0": np.arange(6, dtype=np.float32)}, form).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.pth"):
            read_torch(cut)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"\x89PNG\r\n", pickled({"w": 1}), pickled(1001), b"PK\3\4 and then nothing", b"\0" * 1000],
    ids=lambda content: repr(content[:6]),
)
def test_refuses_other_files(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"other\.pth"):
        read_torch(path)


def test_refuses_missing_files_folders_and_zips_of_other_things(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_torch(tmp_path / "nothing.pth")
    with pytest.raises(UserError, match="cannot be read"):
        read_torch(tmp_path)
    with zipfile.ZipFile(tmp_path / "code.pth", "w") as archive:
        archive.writestr("code.py", "pass")
    with pytest.raises(UserError, match="0 members"):
        read_torch(tmp_path / "code.pth")


@pytest.mark.parametrize(
    "numbers", [np.zeros(10**6), np.random.default_rng(0).standard_normal(9)], ids=["bomb", "small"]
)
def test_refuses_compressed_members(tmp_path, numbers):
    """A few bytes of zip can hold gigabytes of zeros."""
    path = tmp_path / "bomb.pth"
    n = numbers.size
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled({"w": tensor(shape=(n,), strides=(1,), count=n, kind="DoubleStorage")}))
        archive.writestr("a/data/0", numbers.tobytes(), zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        read_torch(path)


def test_agrees_with_torch(tmp_path, form):
    torch = pytest.importorskip("torch", reason="torch writes the file to compare with")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Linear(5, 4))
    state = model.state_dict()
    state["transposed"] = torch.nn.Parameter(torch.randn(3, 4).t())
    state["every second"] = torch.arange(10)[2:8:2]
    state["tied"] = state["0.weight"]
    state["bool"] = torch.tensor([True, False])
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=form == "zip")
    path = tmp_path / "torch.pth"
    path.write_bytes(buffer.getvalue())
    weights = read_torch(path)
    assert list(weights) == list(state)
    for name, expected in state.items():
        assert weights[name].dtype == expected.detach().numpy().dtype
        assert np.array_equal(weights[name], expected.detach().numpy()), name
