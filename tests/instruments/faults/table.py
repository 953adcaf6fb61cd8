"""The rows of the fault table: what each is called, what must hold, and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.instruments.faults.stage import Stage

Verdict = Literal["held", "broke", "proven", "missing"]


@dataclass(slots=True)
class Told:
    """What a row says beside held or broke.

    Attributes:
        recoveries: from the fault (or its end) to the next committed outcome, in seconds.
        note: what was done and seen, in one line.
    """

    note: str = ""
    recoveries: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        must: the invariants.
        run: makes the fault on real servers; None: it cannot be made here, `why` says so.
        tests: pytest's ids of tests that prove the row, or what of it `run` leaves out.
        is_quick: part of the slice that CI runs.
    """

    number: int
    fault: str
    must: str
    run: Callable[[Stage], Told] | None = None
    tests: tuple[str, ...] = ()
    why: str = ""
    is_quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row."""

    number: int
    fault: str
    must: str
    verdict: Verdict
    where: str
    took_s: float
    recovery_s_max: float | None
    detail: str
    tests: tuple[str, ...] = ()


class Table:
    """Collects rows."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    def real(
        self,
        number: int,
        fault: str,
        must: str,
        *,
        tests: tuple[str, ...] = (),
        why: str = "",
    ) -> Callable[[Callable[[Stage], Told]], Callable[[Stage], Told]]:
        """Decorates the function that makes a row's fault."""

        def add(run: Callable[[Stage], Told]) -> Callable[[Stage], Told]:
            self._add(
                Row(
                    number=number, fault=fault, must=must, run=run, tests=tests, why=why,
                )
            )  # fmt: skip
            return run

        return add

    def proven(
        self, number: int, fault: str, must: str, *, why: str, tests: tuple[str, ...]
    ) -> None:
        """A row that cannot be made on real servers here."""
        self._add(Row(number=number, fault=fault, must=must, why=why, tests=tests))

    def _add(self, row: Row) -> None:
        assert row.number not in self.rows, f"row {row.number} is there twice"
        self.rows[row.number] = row
