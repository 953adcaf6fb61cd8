"""The classes of a partition: of one type, and not more than a model and its predictions can bear.

Python tells 1 from "1", JSON's keys do not; and 1, 1.0 and True are one to Python, and two to JSON.
So the first label fixes the type, and each class is one thing on both sides. Each prediction names
every class: all their names together must fit in one, or no commit would succeed any more.
"""

import msgspec

from stream.core.event import Reason, Rejection
from stream.core.formats.checks import one_line
from stream.core.spec import Limits

Label = bool | int | str

PROBABILITY_BYTES = 32
"""A class's probability at full precision, and what is around both."""

OVER = "over limits.state_bytes_max"
"""How the detail of what a closed state refuses begins."""

_TYPES = {bool: "boolean", int: "integer", str: "string"}

_LEARNABLE_N = 2

_encode = msgspec.json.Encoder().encode


def written_bytes(label: Label) -> int:
    """How many bytes of every prediction a class takes at most.

    >>> written_bytes("up"), written_bytes(17)
    (36, 34)
    """
    return len(_encode(label)) + PROBABILITY_BYTES


def refusal(
    label: Label,
    classes: set[Label],
    *,
    limits: Limits,
    taken_bytes: int,
    is_closed: bool = False,
) -> Rejection | None:
    """Why a label cannot be a class beside those; None: it can.

    Args:
        label: an event's label.
        classes: known so far.
        limits: how many classes there may be, and how much of a prediction they may take.
        taken_bytes: how many bytes of a prediction the known classes take.
        is_closed: the state is too large to take in anything new; two classes it may learn.

    >>> print(refusal("1", {1, 2}, limits=Limits(), taken_bytes=66).detail)
    the label is a string, this partition's labels are integers
    """
    known = type(next(iter(classes), label))
    if type(label) is not known:
        found = _TYPES[type(label)]
        article = "an" if found == "integer" else "a"
        return Rejection(
            Reason.BAD_LABEL,
            f"the label is {article} {found}, this partition's labels are {_TYPES[known]}s",
        )
    if label in classes:
        return None
    over = ""
    if len(classes) >= limits.classes_max:
        over = f"over {limits.classes_max} classes in this partition"
    elif taken_bytes + written_bytes(label) > limits.classes_bytes_max:
        over = (
            f"its {len(classes)} classes take {taken_bytes} bytes of each prediction, of at most "
            f"{limits.classes_bytes_max} (limits.classes_bytes_max)"
        )
    elif is_closed and len(classes) >= _LEARNABLE_N:
        over = f"{OVER} with {len(classes)} classes"
    return Rejection(Reason.BAD_LABEL, one_line(f'{over}; new: "{label}"')) if over else None
