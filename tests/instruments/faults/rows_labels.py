"""Rows about a labels topic: deleted, cut by retention, forbidden, and its broker away."""

import time

from tests.instruments.faults import commanding, labels_feed
from tests.instruments.faults.commanding import checked, delete
from tests.instruments.faults.guarded import DESCRIBE, READ, WRITE
from tests.instruments.faults.labels_feed import LabelsFeed, all_folded, each_once
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.verifier import CHANNELS, MARKERS_S
from tests.instruments.faults.worker import Broke

STATIC_S = 3.0
GAP_S = 7.0
"""So long no outcome may come where nothing but labels is in trouble: patience is 2 s."""

AWAY_S = 60.0
FAILOVER_GAP_S = 40.0
"""Where a broker of three dies: until the others know it, and have taken over what it led."""


def labels(table: Table) -> None:
    """Add rows 51 to 54."""
    table.real(51, "the labels topic is deleted under a running worker, and made again",
               "I1 I2 I7 I13; each label once")(made_again)  # fmt: skip
    table.real(52, "retention passes over labels that nobody has read",
               "I1 I2 I13; each label once, or told")(passed_over)  # fmt: skip
    table.real(53, "a worker may not READ labels any more", "I1 I2 I7 I13; each label once")(
        not_read
    )
    table.real(54, "of three brokers the one with the labels is away for a minute",
               "I1 I2 I7 I13; each label once")(away)  # fmt: skip


def made_again(stage: Stage) -> Told:
    """Twice: while it runs, and while nobody does, with more records than the old one had."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        labels_feed.configure(run)
        with LabelsFeed(run) as feed:
            run.start(instance="w-0")
            run.flowing()
            time.sleep(2.0)
            feed.pause()
            all_folded(run, feed)
            delete(run, "labels")
            gap_s = commanding.steady(run, for_s=6.0, gap_s=GAP_S)
            run.make_topics(("labels",))
            feed.go_on()
            commanding.says(run, "labels_lost")
            feed.pause()
            all_folded(run, feed)
            commanding.stop(run)
            delete(run, "labels")
            run.make_topics(("labels",))
            feed.go_on()
            time.sleep(4.0)
            at = time.monotonic()
            run.start(instance="w-0")
            run.recovered(at)
            run.workers[-1].kill()
            at = time.monotonic()
            run.start(instance="w-0")
            run.recovered(at)
            feed.stop()
            all_folded(run, feed)
            run.finish()
            n = each_once(run, feed)
        return Told(f"twice: {n} labels, each once; without the topic outcomes within {gap_s:.1f} "
                    "s of each other", run.recoveries)  # fmt: skip


def passed_over(stage: Stage) -> Told:
    """They are told of; what comes later is learned."""
    with Run(stage, recovery_time_s=STATIC_S, partitions_n=1) as run:
        labels_feed.configure(run)
        with LabelsFeed(run) as feed:
            run.start(instance="w-0")
            run.flowing()
            time.sleep(2.0)
            feed.pause()
            all_folded(run, feed)
            commanding.stop(run)
            read_n = len(feed.sent[0])
            feed.go_on()
            time.sleep(2.0)
            feed.pause()
            there_n = len(feed.sent[0])
            lost = frozenset(feed.sent[0][read_n : there_n - 10])
            ends = commanding.ends(run, "labels")
            commanding.delete_before(run, "labels", {0: ends[0] - 10})
            at = time.monotonic()
            run.start(instance="w-0")
            run.recovered(at)
            said = commanding.says(run, "labels_lost")
            if "were deleted" not in said:
                raise Broke(f"I13: it does not say what is lost: {said}")
            feed.go_on()
            time.sleep(2.0)
            feed.stop()
            run.until(
                lambda: set(feed.sent[0]) - lost
                <= {each["id"] for each in labels_feed.outcomes(run, 0)},
                within_s=60, what="each label that is there is folded",
            )  # fmt: skip
            run.finish()
            n = each_once(run, feed, lost=lost)
        return Told(f"{len(lost)} labels that nobody had read: a line of the worker; the {n} "
                    "before and behind them: each once", run.recoveries)  # fmt: skip


def not_read(stage: Stage) -> Told:
    """It says so and predicts on, also from a start; once it may, all are learned."""
    broker = stage.guarded
    run = Run(
        stage, bootstrap=broker.open_servers, partitions_n=1, recovery_time_s=STATIC_S,
        environment=broker.login(stage.client),
    )  # fmt: skip
    broker.permit_worker(run.name)
    with run:
        labels_feed.configure(run)
        broker.permit(run.name, "journal", READ, WRITE)
        broker.permit(run.name, "outcomes", READ, WRITE)
        broker.permit(run.name, "labels", DESCRIBE)
        checked(run, 78, "not permitted to READ", environment=run.environment)
        run.start(instance="w-0").ends_with(78, within_s=60, says=f"{run.name}.labels")
        broker.permit(run.name, "labels", READ)
        with LabelsFeed(run) as feed:
            run.start(instance="w-0")
            run.flowing()
            time.sleep(2.0)
            broker.forbid(run.name, "labels", READ)
            said = commanding.says(run, "labels_unreadable")
            if f"{run.name}.labels" not in said:
                raise Broke(f"I13: it does not say which topic: {said}")
            gap_s = commanding.steady(run, for_s=8.0, gap_s=GAP_S)
            broker.permit(run.name, "labels", READ)
            feed.stop()
            all_folded(run, feed)
            run.finish()
            n = each_once(run, feed)
    return Told(f"check and start: 78; running: said, and outcomes within {gap_s:.1f} s of each "
                f"other; {n} labels, each once", run.recoveries)  # fmt: skip


def away(stage: Stage) -> Told:
    """Predictions go on within patience; all is folded once afterwards, and repeats itself."""
    cluster = stage.cluster
    cluster.start()
    nodes = dict.fromkeys(("events", "journal", "outcomes", *CHANNELS), (1, 2, 3))
    with Run(
        stage, bootstrap=cluster.bootstrap_servers, replicas=3, partitions_n=1,
        patience_s=MARKERS_S, nodes=nodes | {"labels": (3,)},
    ) as run:  # fmt: skip
        labels_feed.configure(run)
        with LabelsFeed(run) as feed:
            run.start()
            run.flowing(within_s=120)
            time.sleep(4.0)
            feed.pause()
            cluster.nodes[3].kill()
            gap_s = commanding.steady(run, for_s=AWAY_S, gap_s=FAILOVER_GAP_S)
            commanding.says(run, "labels_unreadable")
            at = time.monotonic()
            cluster.start((3,))
            cluster.whole()
            feed.go_on()
            time.sleep(4.0)
            feed.stop()
            all_folded(run, feed, within_s=120)
            # From an empty cache the journal has to bring it all back, or it ends with 65.
            run.workers[-1].kill()
            stage.ask_redis("FLUSHALL")
            run.start()
            run.recovered(at, within_s=120)
            run.finish(within_s=120)
            n = each_once(run, feed)
        return Told(f"outcomes within {gap_s:.1f} s of each other, most of it the brokers' own; "
                    f"{n} labels, each once, and the same again from an empty cache",
                    run.recoveries)  # fmt: skip
