"""Which bits do this machine's mathematical functions give?

A C library chooses its `exp`, `log` and `pow` by what the processor has (glibc: with FMA or not),
and another version of it computes in another way: the last bit of one result in some hundreds
differs, and with it everything that is folded after. Two such machines in one group would each find
that the other's log is not what it was. So their digest is a part of the recipe: at its start a
worker is told that it folds otherwise than what was committed.

numpy's functions differ with and without AVX-512; nothing of ours computes with them in a fold
(tests/core/test_probe.py folds without those instructions, and the bits are the same).
"""

import hashlib
import math
from functools import cache
from struct import Struct

NUMBERS_N = 1_000
_LEAST, _MOST = 1e-9, 20.0

_FUNCTIONS = (
    math.exp, math.expm1, math.log, math.log2, math.log10, math.log1p, math.sqrt, math.sin,
    math.cos, math.tan, math.atan, math.sinh, math.tanh, math.erf, math.lgamma,
    lambda x: math.pow(x, 1.7), lambda x: x**0.3, lambda x: math.hypot(x, 1.3),
)  # fmt: skip
_pack = Struct(f"<{len(_FUNCTIONS)}d").pack


@cache
def math_digest() -> str:
    """Eight hex digits over the functions' results for numbers from 1e-9 to 20; it takes 2 ms."""
    digest = hashlib.sha256()
    seed = 1
    for _ in range(NUMBERS_N):
        # Knuth's generator, for the numbers must be the same with every Python.
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        x = _LEAST + (_MOST - _LEAST) * (seed / 2**64)
        digest.update(_pack(*(function(x) for function in _FUNCTIONS)))
    return digest.hexdigest()[:8]
