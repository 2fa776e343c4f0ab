"""The parts of ``benchmarks/gpu.py`` that need PyTorch: recurrent layers, steps of models. Only its worker imports them."""
