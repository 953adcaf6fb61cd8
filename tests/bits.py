"""What must be equal to the last bit, as something that `==` compares so."""

import struct
from typing import Any


def bits(answer: Any) -> Any:
    """Floats by their bits (0.0 is not -0.0, NaN equals itself), dicts in their order."""
    if isinstance(answer, dict):
        return [(key, bits(value)) for key, value in answer.items()]
    return struct.pack("<d", answer) if isinstance(answer, float) else answer
