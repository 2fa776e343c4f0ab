"""CUDA C kernels: loaded by the name of their file, launched on CuPy arrays on a GPU, or on NumPy arrays on a CPU.

    cell = load("lstm.cu")["lstm_cell_forward"]
    cell((blocks,), (256,), gates, c_before, …, np.int32(N), np.int32(H))

The arrays decide: CuPy's go to the GPU (NVRTC compiles the file), NumPy's to :mod:`scratchlv.cuda.emulator`, which compiles the
same file with g++ and plays the chip with fibers: slow, but it finds missing barriers, and needs no GPU.
"""

from scratchlv.cuda.launch import Kernel, Module, load

__all__ = ["Kernel", "Module", "load"]
