"""Rows about brokers: killed, hung, away, three of them bounced, a log cut short."""

import signal
import time

from tests.instruments.faults.cluster import NODES, Cluster
from tests.instruments.faults.run import LATE_S, Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.verifier import CHANNELS, MARKERS_S
from tests.instruments.faults.worker import RESTART_CODES, Broke, Worker

HUNG_S = 30.0
COMMIT_S = 2.0
"""What was sent before a node died may become visible so late."""

AWAY_S = 300.0
BOUNCES = 5
STATIC_S = 3.0


def brokers(table: Table) -> None:
    """Add rows 10 to 14 and 26."""
    table.real(10, "the broker is killed and started again (one node)", "I1-I8")(killed)
    table.real(11, "of three brokers the leader and the controller are killed; 5 clean bounces",
               "I1-I8")(bounced)  # fmt: skip
    table.real(12, "the broker hangs for 30 s", "I1 I7")(hung)
    table.real(13, "no broker at a worker's start, and for 5 minutes while it runs", "I7 I13")(away)
    table.real(14, "Produce is not acknowledged until the delivery times out, then heals",
               "I1 I4")(not_acknowledged)  # fmt: skip
    table.real(26, "an unclean election cuts the log below the committed offset", "I10 I13")(
        truncated
    )


class Supervisor:
    """Starts a worker again whenever it ended with a code that says so.

    The pauses grow as a service manager's do; how often counts.
    """

    def __init__(
        self, run: Run, instance: str | None = None, *, behind_proxy: bool = False
    ) -> None:
        self.run = run
        self.instance = instance
        self.behind_proxy = behind_proxy
        self.worker: Worker = run.start(instance=instance, behind_proxy=behind_proxy)
        self.codes: list[int] = []

    def look(self) -> None:
        """Start it again if it ended. Raises: Broke: it ended in a way that nobody restarts."""
        if self.worker.running:
            return
        code = self.worker.ends(within_s=1)
        self.codes.append(code)
        if code not in RESTART_CODES:
            raise Broke(f"exit {code}, which no supervisor restarts: {self.worker.log[-600:]}")
        time.sleep(min(1.0 * len(self.codes), 5.0))
        self.worker = self.run.start(instance=self.instance, behind_proxy=self.behind_proxy)

    def for_(self, seconds: float) -> None:
        """Look after it for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(0.2)

    def flowing(self, after: float, *, within_s: float = 90.0) -> None:
        """Look after it until outcomes come again."""
        deadline = time.monotonic() + within_s
        while self.run.verifier.next_arrival(after + LATE_S) is None:
            self.look()
            if time.monotonic() > deadline:
                raise Broke(f"I7: no outcome within {within_s:g} s: {self.run.said()}")
            time.sleep(0.1)
        self.run.recovered(after)

    def finish(self, *, within_s: float = 60.0) -> None:
        """As `Run.finish`; a commit that began in the trouble may hang until now. Raises: Broke."""
        self.run.finish(within_s=within_s, look=self.look)

    @property
    def told(self) -> str:
        """What became of it."""
        return f"the worker ended with {self.codes}" if self.codes else "the worker lived through"


def killed(stage: Stage) -> Told:
    """SIGKILL; everything is unknown for some seconds."""
    with Run(stage) as run:
        keeper = Supervisor(run)
        run.flowing()
        for _ in range(2):
            stage.kafka.kill()
            keeper.for_(2.0)
            stage.kafka.start()
            at = time.monotonic()
            keeper.flowing(at)
        keeper.finish()
        return Told(f"killed twice, 2 s away each; {keeper.told}", run.recoveries)


def hung(stage: Stage) -> Told:
    """SIGSTOP: connections stay, nothing is answered."""
    with Run(stage) as run:
        keeper = Supervisor(run)
        run.flowing()
        stage.kafka.pause()
        try:
            keeper.for_(COMMIT_S)
            before_n = run.verifier.outcomes_n()
            keeper.for_(HUNG_S - COMMIT_S)
            if run.verifier.outcomes_n() != before_n:
                raise Broke("the broker answered while it was stopped")
        finally:
            stage.kafka.resume()
        at = time.monotonic()
        keeper.flowing(at)
        keeper.finish(within_s=90)
        return Told(keeper.told, run.recoveries)


def away(stage: Stage) -> Told:
    """A worker that cannot begin ends with 69; a running one waits, or ends with 69 or 70."""
    with Run(stage) as run:
        stage.kafka.kill()
        early = run.start()
        early.ends_with(69, within_s=80, says="reachable")
        stage.kafka.start()
        keeper = Supervisor(run)
        run.flowing()
        stage.kafka.kill()
        keeper.for_(AWAY_S)
        starts_n = len(keeper.codes)
        stage.kafka.start()
        at = time.monotonic()
        keeper.flowing(at)
        keeper.finish(within_s=90)
        if starts_n > AWAY_S / 8:
            raise Broke(f"a storm of restarts: {keeper.codes}")
        return Told(f"at start: 69; {AWAY_S:g} s away: {keeper.told}", run.recoveries)


def _on(cluster: Cluster, stage: Stage) -> Run:
    return Run(stage, bootstrap=cluster.bootstrap_servers, replicas=3)


def _triple(cluster: Cluster, run: Run) -> None:
    """Raises: Broke: what has to be on three nodes is not, or one of them is enough."""
    names = [f"{run.name}.{channel}" for channel in ("events", *CHANNELS)]
    odd = cluster.not_triple([*names, "__transaction_state", "__consumer_offsets"])
    if odd:
        raise Broke(f"not on three nodes with min.isr 2: {odd}")


def bounced(stage: Stage) -> Told:
    """Supervised, as row 13 is: a commit whose coordinator is gone may hang until the watchdog."""
    cluster = stage.cluster
    with _on(cluster, stage) as run:
        keeper = Supervisor(run)
        run.flowing(within_s=120)
        _triple(cluster, run)
        topic = f"{run.name}.predictions"
        for what in ("leader", "controller"):
            node = cluster.leader(topic) if what == "leader" else cluster.controller()
            at = time.monotonic()
            cluster.nodes[node].kill()
            run.until(
                lambda n=node: cluster.leader(topic) not in (-1, n),  # type: ignore[misc]
                within_s=60, what="another leads",
            )  # fmt: skip
            keeper.flowing(at)
            cluster.start()
        for n in range(BOUNCES):
            node = NODES[n % len(NODES)]
            at = time.monotonic()
            cluster.nodes[node].stop()
            keeper.flowing(at)
            cluster.start()
        keeper.finish()
        return Told(
            f"killed the leader, then the controller, then {BOUNCES} clean bounces; {keeper.told}",
            run.recoveries,
        )


def not_acknowledged(stage: Stage) -> Told:
    """The outputs lie on two nodes of which one goes: refused; then two of three nodes go."""
    cluster = stage.cluster
    outputs = dict.fromkeys(CHANNELS, (3, 2))
    with Run(
        stage, bootstrap=cluster.bootstrap_servers, replicas=3, nodes=outputs, patience_s=MARKERS_S
    ) as run:  # fmt: skip
        keeper = Supervisor(run, instance="w-0")
        run.flowing(within_s=120)
        seen = []
        for gone in ((2,), (1, 2)):
            # What the last trouble kept back was seen all, or it would seem to come in this one.
            run.caught_up(within_s=120, look=keeper.look)
            lost_n = run.every_log().count("commit_lost")
            for node in gone:
                cluster.nodes[node].kill()
            time.sleep(COMMIT_S)
            before = run.verifier.outcomes_n()
            keeper.for_(12.0)
            seen.append(run.verifier.outcomes_n() - before)
            # With two away the upstream cannot append either: there may be nothing to commit.
            if gone == (2,) and run.every_log().count("commit_lost") == lost_n:
                raise Broke(f"nothing failed while {gone} were away: {keeper.worker.log[-600:]}")
            cluster.start()
            at = time.monotonic()
            keeper.flowing(at)
        if any(seen):
            raise Broke(f"I4: {seen} outcomes became visible while they were not acknowledged")
        lost = run.every_log().count("commit_lost")
        keeper.finish(within_s=120)
        return Told(f"12 s with one of the outputs' two replicas and min.isr 2, then 12 s with one "
                    f"of three nodes: nothing visible, {lost} commits lost; {keeper.told}",
                    run.recoveries)  # fmt: skip


def truncated(stage: Stage) -> Told:
    """The events' last replica in sync dies, and the one that was behind leads from then on."""
    cluster = stage.cluster
    unclean = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    with Run(
        stage, bootstrap=cluster.bootstrap_servers, replicas=3, partitions_n=1, rate=0.0,
        nodes={"events": (1, 2)}, settings=unclean,
    ) as run:  # fmt: skip
        topic = f"{run.name}.events"
        cluster.whole()
        run.feeder.burst(300)
        worker = run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=120, what="300")
        cluster.nodes[2].kill()
        run.until(lambda: cluster.leader(topic) == 1, within_s=60, what="node 1 leads")
        run.feeder.burst(300)
        run.until(lambda: run.verifier.committed.get(0, 0) >= 600, within_s=120, what="600")
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60)
        committed = run.verifier.committed[0]
        cluster.nodes[1].kill()
        cluster.start((2,))
        run.until(lambda: cluster.leader(topic) == 2, within_s=120, what="node 2 leads")
        heir = run.start(instance="w-0")
        heir.ends_with(65, within_s=120, says="truncated")
        return Told(f"{committed} was committed and the log was cut to 300: exit 65, and why")
