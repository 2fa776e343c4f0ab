"""Messages: what goes in comes out, and what is none is refused and nothing else."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scratchlv.exercises import wire
from scratchlv.exercises.wire import HEAD, Opaque, Source, Unreadable

DTYPES = arrays.boolean_dtypes() | arrays.integer_dtypes() | arrays.floating_dtypes() | arrays.complex_number_dtypes()
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.text().map(Source)
    | arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_side=3))
    | arrays.arrays(DTYPES, ()).map(lambda array: array[()])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner, max_size=4)
    ),
    max_leaves=8,
)


def is_same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_what_goes_in_comes_out(value):
    assert is_same(value, wire.decode(wire.encode(value)))


def test_arrays_come_whole_from_views_and_subclasses():
    class Lies(np.ndarray):
        shape = property(lambda self: (7, 7))
        dtype = property(lambda self: np.dtype("f4"))

    x = np.arange(12.0).reshape(3, 4)
    for view in (x.T, x[::2, ::-1], np.asfortranarray(x), np.broadcast_to(x[0], (3, 4)), x.astype(">f8")):
        assert is_same(np.asarray(view), wire.decode(wire.encode(view)))
    assert is_same(x, wire.decode(wire.encode(x.view(Lies))))
    assert is_same(x, wire.decode(wire.encode(np.asmatrix(x))))


def test_what_no_message_can_hold_is_told_by_its_name():
    itself = []
    itself.append(itself)
    odd = type("O\x1b[2J" + "x" * 500, (), {})()
    sent = [object(), np.array([None]), np.zeros(2, "M8[s]"), type("Number", (float,), {})(1.0), odd, itself]
    came = wire.decode(wire.encode(sent))
    assert came[:4] == [
        Opaque(kind) for kind in ("a object", "an array of object", "an array of datetime64[s]", "a Number")
    ]
    assert came[4].kind.isprintable() and len(came[4].kind) <= 102
    assert "more than 20 deep" in repr(came[5])


def message(text, numbers=b""):
    data = text.encode()
    return HEAD.pack(len(data), len(numbers)) + data + numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", b""),
        ("{", b""),
        ("[]", b""),
        ("{}", b""),
        ('"text"', b""),
        ('{"a":1,"b":2}', b""),
        ('{"unknown":1}', b""),
        ('{"text":5}', b""),
        ('{"source":[]}', b""),
        ('{"opaque":5}', b""),
        ('{"list":5}', b""),
        ('{"list":{"text":"a"}}', b""),
        ('{"tuple":"ab"}', b""),
        ('{"dict":[[1]]}', b""),
        ('{"dict":[[{"list":[]},1]]}', b""),
        ('{"complex":["1j"]}', b""),
        ('{"complex":[{"text":"1"},2]}', b""),
        ('{"array":["<f8",[1]]}', b""),
        ('{"array":["<f8",[1]]}', bytes(7)),
        ('{"array":["<f8",[1]]}', bytes(9)),
        ('{"array":["<f8",[-1]]}', bytes(8)),
        ('{"array":["<f8",[-1,-1]]}', bytes(8)),
        ('{"array":["<f8",[1.0]]}', bytes(8)),
        ('{"array":["<f8",[true]]}', bytes(8)),
        ('{"array":["<f8",3]}', bytes(24)),
        ('{"array":["|O",[1]]}', bytes(8)),
        ('{"array":["O",[1]]}', bytes(8)),
        ('{"array":["f8,f8",[1]]}', bytes(16)),
        ('{"array":[["f8"],[1]]}', bytes(8)),
        ('{"array":[null,[1]]}', bytes(8)),
        ('{"array":["<f7",[1]]}', bytes(7)),
        ('{"array":["<M8",[1]]}', bytes(8)),
        ('{"array":["<f8",[0,99999999999999999999]]}', b""),
        ('{"array":["<f8",[99999999999,99999999999,99999999999]]}', bytes(8)),
        ('{"array":["<f8",[1],0]}', bytes(8)),
        ('{"number":["<f8",[1]]}', bytes(8)),
        ('{"list":[{"array":["<f8",[1]]},{"array":["<f8",[1]]}]}', bytes(8)),
        ("1" * 5000, b""),
        ("[" * 100_000, b""),
        ('{"list":[' * 20_000, b""),
    ],
)
def test_what_is_no_message_is_refused(text, numbers):
    with pytest.raises(Unreadable):
        wire.decode(message(text, numbers))


@pytest.mark.parametrize(
    "data", [b"", b"x" * 15, HEAD.pack(5, 0), HEAD.pack(2**63, 2**63) + b"1", HEAD.pack(1, 0) + b"\xff"]
)
def test_a_head_that_lies_is_refused(data):
    with pytest.raises(Unreadable):
        wire.decode(data)


def test_whatever_becomes_of_a_message_it_is_a_value_or_refused():
    rng = random.Random(0)
    sample = wire.encode(
        {"value": {"result": [np.ones((2, 3)), (1, 2.5, None)], "changed": False}, "n": np.float32(3), "t": "é"}
    )
    refused = 0
    for _ in range(3000):
        data = bytearray(sample)
        for _ in range(rng.randint(1, 4)):
            i = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[i] = rng.choice(b'0123456789[]{}",:-eEtfn') if i >= HEAD.size else rng.randrange(256)
            elif kind == 1:
                del data[i : i + rng.randint(1, 9)]
            elif kind == 2:
                data[i:i] = data[i : i + rng.randint(1, 30)]
            else:
                data[i] ^= 1 << rng.randrange(8)
            if not data:
                break
        if len(data) >= HEAD.size and rng.random() < 0.8:  # a head that fits, so that the rest is looked at
            numbers = min(48 + 4, len(data) - HEAD.size)
            data[: HEAD.size] = HEAD.pack(len(data) - HEAD.size - numbers, numbers)
        try:
            wire.decode(bytes(data))
        except Unreadable:
            refused += 1
    assert 1000 < refused < 3000


def test_text_of_a_stranger_is_made_plain():
    assert wire.plain("a\x1b[2J\nb\u202e\0é", 99) == "a [2J b  é"
    assert wire.plain("x" * 50, 10) == "x" * 10 + " …" and wire.plain("x" * 10, 10) == "x" * 10
