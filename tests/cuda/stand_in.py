"""A CuPy that stands on NumPy, to see on a machine without a GPU what our code asks of the real one.

It is as strict as CuPy: its arrays do not mix with NumPy's, and nothing becomes a NumPy array unless ``get`` is called. It
counts what a step must not do: :attr:`Gpu.round_trips` (a number or an array comes back to the host) and :attr:`Gpu.allocated`
(memory that the pool had to ask from the device). While a stream captures, all that is launched is noted, and a graph does it
again, with the same arrays and the same numbers. Kernels are launched on the CPU that plays the chip; ``gemmEx`` reads the
same pointers, leading dimensions and column-major order as cuBLAS does.

What it has is only what is known to be in CuPy: a test compares its names with the real one's where that is installed.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import functools
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np

from scratchlv.cuda.emulator import CpuModule
from scratchlv.cuda.signature import read_signatures
from scratchlv.cuda.sources import read_source, sources

from .budget import read_budget


class Gpu:
    """What happened on the device since the counters were set to 0."""

    round_trips = 0
    allocated = 0
    launches: ClassVar[collections.Counter] = collections.Counter()
    options: ClassVar[dict] = {}  # that a file was compiled with
    compiled: ClassVar[collections.Counter] = collections.Counter()  # (file, cooperatively)
    current = 0  # the device that launches go to
    captured: ClassVar[list | None] = None  # what was launched since a stream began to capture
    processors = 4
    shared_memory = 227 * 1024


_free: collections.Counter = collections.Counter()  # blocks of the pool that no array uses, by size


class _Memory:
    """A block of the pool; it returns when the last array on it is gone."""

    def __init__(self, size):
        self.size = max(512, -(-size // 512) * 512)
        if _free[self.size]:
            _free[self.size] -= 1
        else:
            Gpu.allocated += 1

    def __del__(self):
        if _free is not None:  # as it is when Python ends
            _free[self.size] += 1


def _launched(compute):
    """What ``compute`` gives, a NumPy array or some; a graph has it computed again, into the same memory."""
    result = compute()
    if result is NotImplemented:
        return result
    parts = [np.asarray(part) for part in (result if isinstance(result, tuple | list) else [result])]
    if Gpu.captured is not None:

        def again():
            value = compute()
            for part, new in zip(parts, value if isinstance(value, tuple | list) else [value], strict=True):
                part[...] = new

        Gpu.captured.append(again)
    return type(result)(parts) if isinstance(result, tuple | list) else parts[0]


def _unwrap(value):
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}: a NumPy array does not mix with CuPy's")
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(item) for item in value)
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return value


def _wrap(value, base=None):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value), base)
    if isinstance(value, tuple | list):
        return type(value)(_wrap(item) for item in value)
    return value


class ndarray:  # noqa: N801 (CuPy's name)
    """CuPy's array: a NumPy array that cannot be had without saying so."""

    __array_priority__ = 100

    def __init__(self, array, base=None):
        self._array = array
        self._memory = base._memory if base is not None else _Memory(array.nbytes)

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: self._view(self._array.T))
    data = property(lambda self: SimpleNamespace(ptr=self._array.ctypes.data))
    device = property(lambda self: Device())

    def _view(self, array):
        return ndarray(array, self)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # --- what brings numbers back to the host ---

    def get(self):
        if Gpu.captured is not None:
            raise RuntimeError("operation not permitted when stream is capturing")
        Gpu.round_trips += 1
        return self._array.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    # --- indexing ---

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, ndarray) and part.dtype == bool for part in parts):
            Gpu.round_trips += 1  # how many there are must be known
        index = _unwrap(key)
        result = self._array[index]
        shared = isinstance(result, np.ndarray) and np.shares_memory(result, self._array)
        if Gpu.captured is not None and isinstance(result, np.ndarray) and not shared:
            result = _launched(lambda: self._array[index])
        if isinstance(result, np.generic):  # a view without axes, as CuPy gives it
            result, shared = self._array[(*_unwrap(parts), ...)], True
        return ndarray(result, self if shared else None)

    def __setitem__(self, key, value):
        index, new = _unwrap(key), _unwrap(value)
        _launched(lambda: (self._array.__setitem__(index, new), self._array)[1])

    # --- methods that make arrays ---

    def astype(self, dtype, copy=True):
        return self if not copy and self.dtype == dtype else _wrap(_launched(lambda: self._array.astype(dtype)))

    def reshape(self, *shape):
        result = self._array.reshape(*shape)
        if np.shares_memory(result, self._array) or not self.size:
            return self._view(result)
        return _wrap(_launched(lambda: self._array.reshape(*shape)))

    def view(self, dtype):
        return self._view(self._array.view(dtype))

    def fill(self, value):
        new = _unwrap(value)
        _launched(lambda: (self._array.fill(new), self._array)[1])

    def set(self, array, stream=None):
        assert array.flags.c_contiguous
        if stream is None:
            self._array[...] = array
        else:
            stream._sent.append(lambda: self._array.__setitem__(..., array))

    # --- NumPy's functions and operators ---

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__":
            return NotImplemented
        if out is not None:
            kwargs["out"] = out
        function, inputs, kwargs = getattr(ufunc, method), _unwrap(inputs), _unwrap(kwargs)
        result = _launched(lambda: function(*inputs, **kwargs))
        return _wrap(result) if out is None else out[0]

    def __array_function__(self, function, types, args, kwargs):
        if function.__name__ not in _FUNCTIONS:
            raise TypeError(f"the stand-in for CuPy does not know numpy.{function.__name__}; see whether CuPy has it")
        out = kwargs.pop("out", None)
        like = {"like": np.empty(0)} if "like" in kwargs else {}
        args, kwargs = _unwrap(args), {**_unwrap(kwargs), **like}
        if out is not None:
            kwargs["out"] = _unwrap(out)
        if function is np.shape:
            return function(*args)
        result = _launched(lambda: function(*args, **kwargs))
        return _wrap(result) if out is None else out


_FUNCTIONS = {
    "arange", "argmax", "ascontiguousarray", "concatenate", "cumsum", "einsum", "empty_like", "max", "maximum", "mean",
    "ones_like", "ravel", "repeat", "searchsorted", "shape", "split", "stack", "sum", "swapaxes", "where", "zeros_like",
}  # fmt: skip


def _operator(name):
    def operator(self, *others):
        others = _unwrap(others)
        result = _launched(lambda: getattr(self._array, name)(*others))
        if name.startswith("__i") and name != "__invert__":
            return self
        return result if result is NotImplemented else _wrap(result)

    return operator


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "rshift", "xor")
for _name in (
    [f"__{kind}{name}__" for name in _ARITHMETIC for kind in ("", "r", "i") if kind + name != "imatmul"]
    + [f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "invert", "abs")]
    + ["all", "any", "argmax", "copy", "cumsum", "max", "mean", "min", "ravel", "repeat", "squeeze", "sum", "swapaxes"]
    + ["transpose"]
):
    setattr(ndarray, _name, _operator(_name))
for _name in ("swapaxes", "transpose", "squeeze"):  # views

    def _as_view(self, *args, _name=_name):
        return self._view(getattr(self._array, _name)(*args))

    setattr(ndarray, _name, _as_view)
for _name in ("sum", "mean", "max", "min", "argmax", "any", "all"):  # with keywords

    def _reduce(self, *args, out=None, _name=_name, **kwargs):
        if out is not None:
            _launched(lambda: getattr(self._array, _name)(*args, out=out._array, **kwargs))
            return out
        return _wrap(_launched(lambda: getattr(self._array, _name)(*args, **kwargs)))

    setattr(ndarray, _name, _reduce)
ndarray.__hash__ = object.__hash__


# --- the module ------------------------------------------------------------------------------------------------------


def asarray(value, dtype=None):
    if isinstance(value, ndarray):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    return ndarray(np.array(value, dtype))


def array(value):
    """A copy."""
    return value.copy() if isinstance(value, ndarray) else ndarray(np.array(value))


def empty(shape, dtype=np.float32):
    """NaN, so that what nobody writes shows."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return ndarray(np.full(size, 0xFF, np.uint8).view(dtype).reshape(shape))


def zeros(shape, dtype=np.float32):
    array = empty(shape, dtype)
    array.fill(0)
    return array


def ascontiguousarray(array, dtype=None):
    result = np.ascontiguousarray(array._array, dtype).reshape(array.shape)
    if Gpu.captured is not None and not np.shares_memory(result, array._array):
        result = _launched(lambda: np.ascontiguousarray(array._array, dtype).reshape(array.shape))
    return array if result is array._array or np.shares_memory(result, array._array) else ndarray(result)


def as_strided(x, shape=None, strides=None):
    return x._view(np.lib.stride_tricks.as_strided(x._array, shape, strides))


class RawModule:
    """Kernels from their source, which is that of one of the project's files."""

    def __init__(self, *, code, options=(), enable_cooperative_groups=False):
        self._cooperative = enable_cooperative_groups
        (self._path,) = (path for path in sources() if path.read_text("utf-8") == code)
        Gpu.options[self._path.name] = options
        self._cooperative = enable_cooperative_groups
        self._signatures = read_signatures(read_source(self._path))

    @functools.cached_property
    def _module(self):
        return CpuModule(self._path, tuple(self._signatures))

    def compile(self, log_stream=None):
        Gpu.compiled[self._path.name, self._cooperative] += 1

    def get_function(self, name):
        return _Function(self, name)


@functools.cache
def _declared(kernel):
    """Bytes of shared memory that a kernel declares, as its compiler said."""
    return read_budget()[kernel]["shared"]


class _Function:
    """A kernel; what it declares of shared memory lessens what is there for a launch."""

    def __init__(self, module, name):
        self._module, self._name = module, name
        self.kernel = SimpleNamespace(ptr=0)
        self.shared_size_bytes = _declared(f"{module._path.name} {name}")
        self._asked = {}  # by device

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._asked.get(Gpu.current, 48 * 1024 - self.shared_size_bytes)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        assert self.shared_size_bytes + size <= Gpu.shared_memory, "more shared memory than a block can have"
        self._asked[Gpu.current] = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "more shared memory than was asked for"
        Gpu.launches[self._name] += 1
        arguments = tuple(_unwrap(argument) for argument in args)
        launch, cooperative = self._module._module.launch, self._module._cooperative
        _launched(lambda: (launch(self._name, grid, block, arguments, shared_mem, cooperative), ())[1])


def _column_major(pointer, code, rows, columns, leading):
    """The matrix at an address, its columns ``leading`` numbers apart."""
    dtype = {0: np.float32, 14: np.uint16}[code]
    size = leading * (columns - 1) + rows if columns else 0
    raw = (ctypes.c_uint8 * (size * np.dtype(dtype).itemsize)).from_address(pointer)
    flat = np.frombuffer(raw, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (flat.itemsize, leading * flat.itemsize))


def _numbers(matrix):
    return matrix if matrix.dtype == np.float32 else (matrix.astype(np.uint32) << 16).view(np.float32)


def _gemm_ex(
    handle, transa, transb, m, n, k, alpha, A, a_type, lda, B, b_type, ldb, beta, C, c_type, ldc, compute, algo
):
    """C = alpha op(A) op(B) + beta C, all column by column, as cublasGemmEx."""
    assert handle == _HANDLE
    assert compute in (68, 77)
    Gpu.launches["gemmEx"] += 1
    one, zero = (ctypes.c_float.from_address(pointer).value for pointer in (alpha, beta))
    a = _column_major(A, a_type, k, m, lda).T if transa else _column_major(A, a_type, m, k, lda)
    b = _column_major(B, b_type, n, k, ldb).T if transb else _column_major(B, b_type, k, n, ldb)
    c = _column_major(C, c_type, m, n, ldc)

    def multiply():
        product = one * (_numbers(a).astype(np.float64) @ _numbers(b).astype(np.float64))
        c[...] = product if zero == 0 else product + zero * c
        return ()

    _launched(multiply)


_HANDLE = 0x5CA1AB1E
_cublas = SimpleNamespace(gemmEx=_gemm_ex, CUBLAS_OP_N=0, CUBLAS_OP_T=1)


class Device:
    compute_capability = "90"

    def __init__(self, id=0):
        self.id = id

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    @property
    def attributes(self):
        return {"MultiProcessorCount": Gpu.processors, "MaxSharedMemoryPerBlockOptin": Gpu.shared_memory}

    def synchronize(self):
        pass  # nothing is ever under way


class Graph:
    """What a stream captured."""

    def __init__(self, launches):
        self._launches = launches

    def launch(self, stream=None):
        for launch in self._launches:
            launch()


class MemoryPool:
    def malloc(self, size):
        raise AssertionError("the stand-in's arrays come from NumPy")


@contextlib.contextmanager
def using_allocator(allocator=None):
    """Another pool: of what is freed in it, nothing is given to those outside."""
    yield


class Stream:
    """What is sent on the default stream is done at once; on another, as late as may be: when somebody waits for it."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def begin_capture(self, mode=None):
        assert not self._null, "the default stream cannot be captured"
        Gpu.captured = []

    def end_capture(self):
        launches, Gpu.captured = Gpu.captured, None
        return Graph(launches)

    def __init__(self, null=False, non_blocking=False):
        self._null, self._sent, self._waits = null, [], []

    def wait_event(self, event):
        self._waits.append(event)
        if self._null:
            event.synchronize()


_default_stream = Stream(null=True)


class Event:
    """The time at which it was recorded: what was launched before is done."""

    def __init__(self, block=False, disable_timing=False):
        pass

    def record(self, stream=None):
        stream = stream or _default_stream
        self.time = time.perf_counter()
        self._stream, self._behind = stream, len(stream._sent)

    def synchronize(self):
        sent = self._stream._sent
        for k in range(self._behind):
            sent[k]()
            sent[k] = lambda: None


def get_elapsed_time(start_event, end_event):
    """In milliseconds."""
    return 1e3 * (end_event.time - start_event.time)


_runtime = SimpleNamespace(
    getDevice=lambda: Gpu.current,
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
    getDeviceProperties=lambda device: {"name": b"a stand-in", "totalGlobalMem": 1 << 30, "major": 9, "minor": 0},
)


def module() -> dict[str, ModuleType]:
    """The modules to put into ``sys.modules``."""
    cupy = ModuleType("cupy")
    for name in ("ndarray", "array", "asarray", "empty", "zeros", "ascontiguousarray", "RawModule"):
        setattr(cupy, name, globals()[name])
    cupy.__version__ = "a stand-in"
    cupy.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))
    driver = SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=lambda ptr, threads, shared: 2)
    device = SimpleNamespace(get_cublas_handle=lambda: _HANDLE)
    cuda = ModuleType("cupy.cuda")
    cuda.driver, cuda.device, cuda.Device = driver, device, Device
    cuda.get_cublas_handle = device.get_cublas_handle
    cuda.nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))
    cuda.Event, cuda.get_elapsed_time, cuda.runtime = Event, get_elapsed_time, _runtime
    cuda.Stream, cuda.get_current_stream = Stream, lambda: _default_stream
    cuda.MemoryPool, cuda.using_allocator = MemoryPool, using_allocator
    cuda.alloc_pinned_memory = lambda size: bytearray(size)
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    cupy.cuda = cuda
    backends = {"cupy_backends": ModuleType("cupy_backends"), "cupy_backends.cuda": ModuleType("cupy_backends.cuda")}
    backends["cupy_backends.cuda.libs"] = SimpleNamespace(cublas=_cublas)
    return {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.device": device} | backends


def install(monkeypatch) -> None:
    """For one test: CuPy is the stand-in, and the modules that hold compiled kernels forget those of the real one."""
    from scratchlv.cuda import launch

    for name, fake in module().items():
        monkeypatch.setitem(sys.modules, name, fake)
    launch._load.cache_clear()
    Gpu.round_trips = Gpu.allocated = Gpu.current = 0
    Gpu.captured = None
    Gpu.launches.clear()
    Gpu.compiled.clear()
    _free.clear()
