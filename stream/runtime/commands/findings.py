"""What `check` finds, said at once: `ok` and `note` on stdout, `problem` on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream.errors import Misconfigured, StreamError
from stream.runtime.commands import screen


class Findings:
    """Says each finding, and counts the problems.

    Attributes:
        clean: cuts secrets out; a user's model, or a client, may put them into its errors.
    """

    def __init__(self) -> None:
        self.problems_n = 0
        self.clean: Callable[[str], str] = str

    def ok(self, text: str) -> None:
        """Say that something was looked at, and is fine."""
        screen.say(self.clean(f"ok {text}"))

    def note(self, text: str) -> None:
        """Say something that works, but that an operator should know."""
        screen.say(self.clean(f"note {text}"))

    def problem(self, text: str) -> None:
        """Say why a worker would not run, or would lose something; the text says what to do."""
        self.problems_n += 1
        screen.say(self.clean(f"problem {text}"), error=True)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Turn what is raised in the block into problems; `check` goes on after the block."""
        try:
            yield
        except Misconfigured as error:
            for problem in error.problems:
                self.problem(problem)
        except StreamError as error:
            self.problem(str(error))
