"""Real streams as events."""

import json
from collections.abc import Iterator
from typing import Any

from tests.data import rows

Event = dict[str, Any]


def elec2(n: int = 45_312) -> Iterator[Event]:
    """Electricity prices; the label is UP or DOWN."""
    for _, row in zip(range(n), rows("elec2"), strict=False):
        label = row.pop("class")
        yield {"features": {k: float(v) for k, v in row.items()}, "label": label}


def sine1(stream: int, n: int = 100_000) -> Iterator[Event]:
    """Synthetic, with true drifts at 20,000, 40,000, 60,000 and 80,000; a bool label."""
    for _, row in zip(range(n), rows(f"sine1_{stream}"), strict=False):
        label = row.pop("class")
        yield {"features": row, "label": label == "p"}


def bikes() -> Iterator[Event]:
    """Bicycle rentals an hour: a regression."""
    for row in rows("bike_sharing_hour"):
        label = row.pop("cnt")
        for column in ("instant", "dteday", "casual", "registered"):
            del row[column]
        yield {"features": row, "label": label}


def smtp(n: int) -> Iterator[Event]:
    """Network connections with rare anomalies."""
    for _, row in zip(range(n), rows("smtp"), strict=False):
        label = row.pop("label")
        yield {"features": row, "label": label}


def airlines(n: int) -> Iterator[Event]:
    """Flights; the label is the airline: many classes, strings and numbers among the features."""
    for _, row in zip(range(n), rows("airline_hflights"), strict=False):
        label = row["Airline"]
        features = {k: row[k] for k in ("AirportFrom", "AirportTo", "Time", "Length", "Distance")}
        yield {"features": features, "label": label}


def encoded(events: Iterator[Event]) -> list[bytes]:
    """As an upstream would send them."""
    return [json.dumps(e).encode() for e in events]
