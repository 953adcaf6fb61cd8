"""One of several workers of ours in one group: how many records it got, and what they cost."""

import threading
import time
from pathlib import Path

from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.ours import Watch, work

LEFT_WITHIN_S = 300.0


class Sharing(Watch):
    """Stays in the group until all are done: who leaves would hand its partitions to the others."""

    def __init__(self, meter: Meter, folder: Path, name: str) -> None:
        super().__init__(meter)
        self.folded_n = 0
        self.began_at = self.ended_at = 0.0
        self._done, self._release = folder / f"{name}.done", folder / "release"

    def on_poll(self) -> None:
        """The clock is the machine's, so that the workers' can be compared."""
        super().on_poll()
        self.began_at = self.began_at or time.perf_counter()

    def on_fold(self, n: int) -> None:
        """Count."""
        self.folded_n += n

    def on_commit(self) -> None:
        """The last one ends the work."""
        super().on_commit()
        self.ended_at = time.perf_counter()

    def on_close(self) -> None:
        """Wait for the others."""
        self._done.touch()
        deadline = time.monotonic() + LEFT_WITHIN_S
        while not self._release.exists() and time.monotonic() < deadline:
            threading.Event().wait(0.05)


def run(spec: Spec, meter: Meter) -> None:
    """The worker of `spec.more["config"]`."""
    sharing = Sharing(meter, Path(spec.folder), spec.name)
    work(Path(spec.more["config"]), sharing)
    meter.tell(folded_n=sharing.folded_n, began_at=sharing.began_at, ended_at=sharing.ended_at)


if __name__ == "__main__":
    serve(run)
