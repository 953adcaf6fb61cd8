"""What the auditor raises."""


class Violation(AssertionError):  # it names what happened
    """Something that must never be so."""


def require(is_so: bool, what: str) -> None:
    """Raise what is wrong unless `is_so`."""
    if not is_so:
        raise Violation(what)
