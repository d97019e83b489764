"""Everything that is compiled: numerical kernels, every forward with its backward directly below it.

Conventions: inputs first, outputs last; ``dA`` is dloss/dA and has A's shape; the docstring says which outputs are
overwritten and which are added to. Kernels neither allocate nor validate: the caller owns all memory and has checked
shapes and id ranges. Each is generic in dtype (float32 trains, float64 proves the gradients) and has a naive twin in
``mlcore.kernels.reference``.
"""
