"""One seed, and the shortest way to see it fail again."""

from tests.instruments.simulation.safety import Note
from tests.instruments.simulation.simulation import Simulation
from tests.instruments.simulation.world import Parts

COMMAND = "scripts/simulate --seed {seed} --steps {steps}"

_TRIES_MAX = 150


class Failed(AssertionError):  # it names what happened
    """A seed showed something wrong.

    Attributes:
        error: what.
        steps: the fewest actions that were found to end like that.
    """

    def __init__(self, seed: int, error: Exception, steps: int, records_n: int | None) -> None:
        command = COMMAND.format(seed=seed, steps=steps)
        if records_n is not None:
            command += f" --events {records_n}"
        super().__init__(
            f"seed {seed}: {type(error).__name__}: {error}\nto see it again: {command}"
        )
        self.error = error
        self.steps = steps


def simulate(
    seed: int,
    *,
    parts: Parts | None = None,
    steps: int | None = None,
    records_n: int | None = None,
    note: Note | None = None,
) -> Simulation:
    """Run one seed. Raises: Failed: with the command that shows it again."""
    simulation = Simulation(seed, parts=parts, steps=steps, records_n=records_n, note=note)
    try:
        simulation.run()
    except Exception as error:
        few = steps
        if few is None:
            few = _shortened(seed, simulation.steps_n, parts=parts, records_n=records_n)
        raise Failed(seed, error, few, records_n) from error
    return simulation


def fails(seed: int, parts: Parts | None = None, *, steps: int | None = None) -> bool:
    """Whether a seed shows something wrong, without a word."""
    return _fails(seed, steps, parts=parts, records_n=None)


def _shortened(seed: int, steps_n: int, *, parts: Parts | None, records_n: int | None) -> int:
    """The fewest actions after which it fails: tried from few to many, finer at the end."""
    stride = max(1, steps_n // _TRIES_MAX)
    for steps in range(0, steps_n, stride):
        if _fails(seed, steps, parts=parts, records_n=records_n):
            for fewer in range(max(0, steps - stride + 1), steps):
                if _fails(seed, fewer, parts=parts, records_n=records_n):
                    return fewer
            return steps
    return steps_n


def _fails(seed: int, steps: int | None, *, parts: Parts | None, records_n: int | None) -> bool:
    try:
        Simulation(seed, parts=parts, steps=steps, records_n=records_n).run()
    except Exception:  # noqa: BLE001  # whatever a worker raises that it should not
        return True
    return False
