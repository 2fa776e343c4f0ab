"""What a kernel takes, read from its source."""

import pytest

from scratchlv.cuda.signature import read_signatures


def test_signatures_are_read_from_the_source():
    code = """
    #define MOST 128
    // extern "C" __global__ void in_a_comment(float* x) {}
    extern "C" __global__ void __launch_bounds__(MOST, 2)
    kernel(const float* __restrict__ x /* read */, unsigned char *y, long long n, unsigned int flags) {}
    """
    (signature,) = read_signatures(code).values()
    assert (signature.name, signature.most_threads) == ("kernel", 128)
    assert [tuple(p) for p in signature.parameters] == [
        ("x", "float", True, False),
        ("y", "unsigned char", True, True),
        ("n", "long long", False, False),
        ("flags", "unsigned int", False, False),
    ]
    with pytest.raises(ValueError, match="kernel: the parameter x is 'half'"):
        read_signatures('extern "C" __global__ void kernel(half* x) {}')
