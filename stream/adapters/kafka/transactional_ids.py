"""Transactional ids: what a worker writes under, the same with every client of Kafka."""

import re
import uuid

_ANONYMOUS = re.compile(r"[0-9a-f]{12}")


def transactional_id(group: str, instance: str | None) -> str:
    """That of a worker; without an instance name it is another one each time."""
    return f"{group}-{instance or uuid.uuid4().hex[:12]}"


def is_nameless(id_: str, group: str) -> bool:
    """Whether it is that of a worker of this group without an instance name.

    >>> is_nameless("flights-0123456789ab", "flights"), is_nameless("flights-w-0", "flights")
    (True, False)
    """
    begins, _, name = id_.rpartition("-")
    return begins == group and _ANONYMOUS.fullmatch(name) is not None
