"""The classes of a partition: of one type, and not more than a model and its predictions can bear.

Python tells 1 from "1", JSON's keys do not; and 1, 1.0 and True are one to Python, and two to JSON.
So the first label fixes the type, and each class is one thing on both sides.
"""

from stream.core.checks import one_line
from stream.core.event import Reason, Rejection

Label = bool | int | str

_TYPES = {bool: "boolean", int: "integer", str: "string"}


def refusal(label: Label, classes: set[Label], *, most: int) -> Rejection | None:
    """Why a label cannot be a class beside those; None: it can.

    >>> print(refusal("1", {1, 2}, most=1000).detail)
    the label is a string, this partition's labels are integers
    """
    if not classes:
        return None
    known = type(next(iter(classes)))
    if type(label) is not known:
        found = _TYPES[type(label)]
        article = "an" if found == "integer" else "a"
        return Rejection(
            Reason.BAD_LABEL,
            f"the label is {article} {found}, this partition's labels are {_TYPES[known]}s",
        )
    if label not in classes and len(classes) >= most:
        return Rejection(
            Reason.BAD_LABEL, one_line(f'over {most} classes in this partition; new: "{label}"')
        )
    return None
