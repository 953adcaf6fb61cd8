"""How a case may end: what each error says about who must act (RELIABILITY 2.2).

An exit ends a worker for good or until somebody acts, so only an error that says so may cause one.
"""

from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.spoilings import Spoiling

MENDED = frozenset({"committed", "rebuilt"})

CONFIGURATION = frozenset({
    Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Code.INVALID_TRANSACTION_TIMEOUT,
    Code.MESSAGE_TOO_LARGE, Code.UNKNOWN_TOPIC_OR_PARTITION,
})  # fmt: skip
"""An operator must act: permissions, a topic, its settings."""

FENCED = frozenset({Code.FENCED_INSTANCE_ID})
FENCED_IF_NAMED = FENCED | {Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_EPOCH}
"""Of a worker without a name nobody can have taken the transactional id: it is rebuilt."""

RUNS_OUT = ("request hangs", "answer hangs", "late")
"""While these last a transaction may run out; the broker then fences its producer, and whoever has
a name cannot tell that from a twin."""


def allowed(spoiling: Spoiling, *, is_named: bool) -> frozenset[str]:
    """The outcomes of a case that are right."""
    if spoiling.how == "slow":
        return frozenset({"committed"})
    if spoiling.code in CONFIGURATION:
        return MENDED | {"exit config"}
    if spoiling.code in (FENCED_IF_NAMED if is_named else FENCED):
        return MENDED | {"exit fenced"}
    if is_named and spoiling.how in RUNS_OUT:
        return MENDED | {"exit fenced"}
    return MENDED
