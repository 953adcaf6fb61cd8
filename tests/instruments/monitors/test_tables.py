"""The commands that write the tables of docs/MONITORS.md, small."""

from click.testing import CliRunner

from tests.data import rows
from tests.instruments.monitors.__main__ import main


def table(*arguments: str) -> list[list[str]]:
    """The cells that a command writes, without its head."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    lines = [line for line in done.output.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_values_that_depend_on_those_before_keep_the_budget() -> None:
    """One run of each; a shift of two deviations is found where they hardly do."""
    found = table("autocorrelated", "--runs", "1")
    assert [row[0] for row in found] == ["0.0", "0.5", "0.9", "0.99"]
    assert [row[1] for row in found[:2]] == ["0.00", "0.00"]
    assert [row[4] for row in found[:2]] == ["500 (1 of 1)", "500 (1 of 1)"]


def test_a_broken_feature_of_the_flights_is_one_alert() -> None:
    """Each way to break the carrier, within two blocks; nothing else of the data is told."""
    next(rows("airline_hflights"))
    found = table("planted", "--feature", "Airline")
    assert [row[0] for row in found] == ["a new carrier", "dropped", "frozen"]
    assert [row[2] for row in found] == ["249", "249", "499"]
    assert all(row[4] in ("nothing", "drift/adwin/error") for row in found)
