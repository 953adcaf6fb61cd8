"""Make stream/demo/data/flights.csv.gz; run again, it gives the same rows.

    python scripts/make_demo_data.py airline_hflights.csv.gz

The source is the table `hflights` (see stream/demo/data/LICENSE) as gzipped CSV in scheduled order,
with the columns Date, Airline, AirportFrom, AirportTo, DayOfWeek (1 = Monday), Time (scheduled
departure, minutes after midnight), Length (scheduled minutes), Distance (miles), Delay (1: arrived
after the scheduled time) and others, which are left out: none of them is known before departure.
"""

import csv
import gzip
import io
import sys
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path

FLIGHTS_N = 45_000  # until 17 March 2011; about a minute of demo, 390 KB
TARGET = Path(__file__).resolve().parents[1] / "stream" / "demo" / "data" / "flights.csv.gz"
COLUMNS = (
    "time", "airline", "origin", "destination", "weekday",
    "minute", "duration_min", "distance_miles", "late",
)  # fmt: skip


def flight(row: dict[str, str]) -> list[str]:
    """One row of the source in the columns of the demo."""
    day = date.fromisoformat(row["Date"])
    scheduled = datetime.combine(day, time()) + timedelta(minutes=int(row["Time"]))
    return [
        scheduled.isoformat(timespec="minutes"),
        row["Airline"],
        row["AirportFrom"],
        row["AirportTo"],
        f"{day:%a}",
        row["Time"],
        row["Length"],
        row["Distance"],
        "true" if row["Delay"] == "1" else "false",
    ]


def main(source: str) -> None:
    """Write the target."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    with gzip.open(source, "rt", encoding="utf-8", newline="") as file:
        writer.writerows(flight(row) for row in islice(csv.DictReader(file), FLIGHTS_N))
    # No time in the header of gzip, so that the file changes only with its rows.
    TARGET.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
