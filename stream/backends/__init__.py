"""Who serves a pipeline's ports: one backend a kind of client. Nothing else builds an adapter."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.config import Settings
    from stream.ports import Clock
    from stream.probing import Connecting
    from stream.runtime.patience import Patience
    from stream.runtime.pipeline import Backend


def chosen(
    settings: "Settings", *, clock: "Clock", patience: "Patience", connecting: "Connecting"
) -> "Backend":
    """The backend that `kafka.client` names; it loads only what that one needs.

    Args:
        settings: the pipeline's.
        clock: for what waits or ages.
        patience: with servers that have just started.
        connecting: told while a server is waited for.
    """
    if settings.kafka.traits.has_servers:
        from stream.backends.servers import Servers  # noqa: PLC0415

        return Servers(settings, clock=clock, patience=patience, connecting=connecting)
    from stream.backends.one_file import OneFile  # noqa: PLC0415

    return OneFile(settings, clock=clock)
