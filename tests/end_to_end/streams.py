"""Real streams as events; in a plain clone, others of the same shape (see `tests/data.py`)."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from tests.data import Row, flights, outliers, rows_or
from tests.data import sine as sine_rows

Event = dict[str, Any]


def elec2(n: int = 45_312) -> Iterator[Event]:
    """Electricity prices; the label is UP or DOWN."""
    for _, row in zip(range(n), rows_or("elec2", _numbers), strict=False):
        label = row.pop("class")
        yield {"features": {k: float(v) for k, v in row.items()}, "label": label}


def sine1(stream: int, n: int = 100_000) -> Iterator[Event]:
    """Synthetic, with true drifts at 20,000, 40,000, 60,000 and 80,000; a bool label."""

    def made() -> Iterator[Row]:
        return sine_rows(seed=stream)

    for _, row in zip(range(n), rows_or(f"sine1_{stream}", made), strict=False):
        label = row.pop("class")
        yield {"features": row, "label": label == "p"}


def bikes() -> Iterator[Event]:
    """Bicycle rentals an hour: a regression."""
    for row in rows_or("bike_sharing_hour", _durations):
        label = row.pop("cnt")
        for column in ("instant", "dteday", "casual", "registered"):
            row.pop(column, None)
        yield {"features": row, "label": label}


def smtp(n: int) -> Iterator[Event]:
    """Network connections with rare anomalies."""
    for _, row in zip(range(n), rows_or("smtp", outliers), strict=False):
        label = row.pop("label")
        yield {"features": row, "label": label}


def airlines(n: int) -> Iterator[Event]:
    """Flights; the label is the airline: many classes, strings and numbers among the features."""
    for _, row in zip(range(n), rows_or("airline_hflights", _airlines), strict=False):
        label = row["Airline"]
        features = {k: row[k] for k in ("AirportFrom", "AirportTo", "Time", "Length", "Distance")}
        yield {"features": features, "label": label}


def _numbers() -> Iterator[Row]:
    """Flights as elec2 is: numbers of about 0 to 1, and a label of two words."""
    for row in flights():
        yield {
            "date": int(str(row["time"])[8:10]) / 31,
            "period": float(row["minute"]) / 1_440,
            "transfer": float(row["duration_min"]) / 600,
            "nswdemand": float(row["distance_miles"]) / 4_000,
            "class": "UP" if row["late"] == "true" else "DOWN",
        }


def _durations() -> Iterator[Row]:
    """Flights as a regression: how long they take."""
    for row in islice(flights(), 17_379):
        features = {name: row[name] for name in ("minute", "weekday", "airline", "destination")}
        yield features | {"miles": row["distance_miles"], "cnt": row["duration_min"]}


def _airlines() -> Iterator[Row]:
    """Flights in the columns of the longer stream that they were cut from."""
    for row in flights():
        yield {
            "Airline": row["airline"], "AirportFrom": row["origin"],
            "AirportTo": row["destination"], "Time": row["minute"],
            "Length": row["duration_min"], "Distance": row["distance_miles"],
        }  # fmt: skip


def encoded(events: Iterator[Event]) -> list[bytes]:
    """As an upstream would send them."""
    return [json.dumps(e).encode() for e in events]
