"""Everything that is compiled: numerical kernels, every forward with its backward directly below it.

Inputs first, outputs last; ``dA`` is dloss/dA in A's shape. Kernels neither allocate nor validate: callers own the
memory, in which no output may overlap an input, and have checked shapes and ids. Each is generic in dtype (float32
trains, float64 proves the gradients).
"""
