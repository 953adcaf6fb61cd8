"""What is lost, narrow, paused or wider -> what becomes of the model: with the commands.

Without a server: the embedded log keeps topics, offsets and snapshots in one file.
"""

import json
from contextlib import closing
from pathlib import Path

from stream.adapters.embedded import EmbeddedTopics
from stream.core.event import Channel
from tests.commands.changes import (
    ADWIN,
    AFTER,
    BEFORE,
    MODULE,
    PAGE_HINKLEY,
    changed,
    delete_log,
    events,
    fed,
    lose_snapshots,
    make,
    predicted,
    refused,
    said,
    went_on,
)
from tests.commands.project import PIPELINE, Project
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import without_place

ALL = BEFORE + AFTER


def _origin(project: Project) -> str:
    """What the model of a worker that goes on well came from."""
    (line,) = said(went_on(project), "task_restored")
    return line.split('origin="')[1].split('"')[0]


# -- what is lost ---------------------------------------------------------------------------------


def test_a_lost_redis_costs_the_replay(waiting: Project) -> None:
    """The log gives the model again, under a changed detector too."""
    lose_snapshots(waiting)
    changed(waiting, PAGE_HINKLEY)

    origin = _origin(waiting)

    assert origin == "untrained model at 0"
    assert predicted(waiting) == plain_loop.classify(make(), ALL)


def test_what_retention_takes_is_in_a_snapshot(waiting: Project) -> None:
    """Under the same settings; `check` says that nothing else has it."""
    delete_log(waiting, len(BEFORE))

    checked = waiting.stream("check")
    origin = _origin(waiting)

    assert checked.code == 0, checked
    assert "began at offset 0, the log starts at 120: only the snapshots (newest at 120)" in (
        checked.out
    )
    assert origin == "snapshot at 120"
    assert predicted(waiting) == plain_loop.classify(make(), ALL)


def test_retention_and_a_lost_redis_after_a_change_of_settings_leave_the_base(
    waiting: Project,
) -> None:
    """It is what the next change goes on from."""
    changed(waiting, PAGE_HINKLEY)
    went_on(waiting)
    lose_snapshots(waiting)
    delete_log(waiting, len(BEFORE))
    changed(waiting, ADWIN)
    more = events(30, seed=5, most=1.0)
    fed(waiting, more)

    origin = _origin(waiting)

    assert origin == "base at 120"
    assert predicted(waiting) == plain_loop.classify(make(), ALL + more)


def test_retention_and_a_lost_redis_without_a_base_are_65(waiting: Project) -> None:
    """`check` says it before, and the line names what goes on: untrained, of another seed."""
    lose_snapshots(waiting)
    delete_log(waiting, len(BEFORE))
    changed(waiting, PAGE_HINKLEY)
    published = predicted(waiting)

    checked = waiting.stream("check")
    verified = waiting.stream("snapshots", "verify")
    line = refused(waiting, 65)
    went_on(waiting, STREAM__MODEL__HASH_SEED="7", STREAM__MODEL__ON_CHANGE="fresh")

    assert checked.code == 78, checked
    assert "problem state: partition 0: began at offset 0, the log starts at 120, and no" in (
        checked.err
    )
    assert verified.code == 65, verified
    assert verified.out == ("partition 0: no snapshot; began at offset 0, the log starts at 120\n")
    assert "no snapshot from there to the committed offset 120 can be used" in line
    assert 'change model.hash_seed and set model.on_change = "fresh"' in line
    assert predicted(waiting) == published + plain_loop.classify(make(), AFTER)


# -- where bases are kept -------------------------------------------------------------------------


def test_without_a_topic_for_the_base_nothing_goes_on(waiting: Project) -> None:
    """Where topics are not ours to make, 78 says which to make; then it goes on."""
    lacking = (
        "topics.bases: commands.bases does not exist, and a changed recipe keeps its model there; "
        "make it with 1 partitions and retention.ms = -1, or set topics.create = true"
    )
    changed(waiting, "[topics]\ncreate = false\n" + PAGE_HINKLEY)

    checked = waiting.stream("check")
    line = refused(waiting)
    with closing(_topics(waiting)) as topics:
        topics.create(Channel.BASES, partitions=1, retention_ms=-1)
    done = went_on(waiting)

    assert checked.code == 78, checked
    assert checked.err == f"problem {lacking}\n"
    assert line == f"stream: {lacking}"
    assert "on_change=keep genesis=120" in done.err
    assert predicted(waiting) == plain_loop.classify(make(), ALL)


def test_another_topic_of_bases_has_none_of_the_old_ones(waiting: Project) -> None:
    """With a snapshot that is nothing; without, `check` and `verify` name what lacks the base."""
    changed(waiting, PAGE_HINKLEY)
    went_on(waiting)
    changed(waiting, '[topics]\nbases = "elsewhere"\n' + PAGE_HINKLEY)
    lacking = "what it began with at offset 120 is not in elsewhere"

    origin = _origin(waiting)
    lose_snapshots(waiting)
    checked = waiting.stream("check")
    verified = waiting.stream("snapshots", "verify")
    changed(waiting, PAGE_HINKLEY)
    back = _origin(waiting)

    assert origin == "snapshot at 180"
    assert checked.code == 78, checked
    assert (
        f"problem state: partition 0: {lacking}, and no snapshot can be used instead" in checked.err
    )
    assert verified.code == 65, verified
    assert verified.out == f"partition 0: no snapshot; {lacking}\n"
    assert back == "base at 120"


def _topics(project: Project) -> EmbeddedTopics:
    names = {channel: f"{PIPELINE}.{channel}" for channel in Channel}
    return EmbeddedTopics(Path(project.folder / "log.sqlite"), names=names)


# -- paused, and wider ----------------------------------------------------------------------------

BREAKER = "[quarantine]\nbreaker_window = 20\nbreaker_share = 0.5\n"
NARROW = "[limits]\nmagnitude_max = 100.0\n"


def test_a_paused_partition_stays_paused_through_a_detector_and_not_through_its_limit(
    project: Project,
) -> None:
    """Whatever changed, the next records decide; what was refused is not learned."""
    good = events(60, seed=1, most=1.0)
    large = [
        {**each, "features": {"x": 500.0, "noise": 0.5}} for each in events(60, seed=2, most=1.0)
    ]
    project.write("mine.py", MODULE)
    changed(project, BREAKER + NARROW)
    fed(project, good + large)
    assert project.stream("run", "--until-end").code == 65
    changed(project, BREAKER + NARROW + PAGE_HINKLEY)

    paused = project.stream("run", "--until-end")
    status = project.stream("status", "--json")
    changed(project, BREAKER + PAGE_HINKLEY)
    done = went_on(project)

    assert paused.code == 65, paused
    assert "on_change=keep genesis=71" in paused.err
    assert "20 of the next 20 records would be refused again" in paused.err
    (row,) = status.json["partitions"]
    assert (row["paused"], row["committed_offset"], row["lag"]) == (True, 71, 49)
    assert "partition_resumed partition=0 next_offset=71" in done.err
    assert predicted(project) == plain_loop.classify(make(), good + large[11:])
    assert len(project.records(Channel.QUARANTINE)) == 11


def test_partitions_are_added_at_least_once_and_the_next_change_has_a_place_for_each(
    waiting: Project,
) -> None:
    """A new partition begins untrained; the topic of bases is widened when it is used."""
    delivery = '[delivery]\nguarantee = "at-least-once"\n'
    changed(waiting, delivery + PAGE_HINKLEY)
    went_on(waiting)
    with closing(_topics(waiting)) as topics:
        topics.widen(Channel.EVENTS, partitions=2)
    fed(waiting, events(62, seed=5, most=1.0))

    added = went_on(waiting)
    changed(waiting, delivery + ADWIN)
    fed(waiting, events(62, seed=6, most=1.0))
    done = went_on(waiting)

    assert "topic_widened topic=commands.predictions partitions=2 was=1" in added.err
    assert not said(added, "recipe_changed")
    assert len(said(done, "recipe_changed")) == 2
    for partition in range(2):
        learned = [json.loads(each.value or b"") for each in waiting.records(partition=partition)]
        assert len(learned) >= 60
        assert predicted(waiting, partition) == plain_loop.classify(make(), learned)
        assert len(waiting.records(Channel.BASES, partition)) == 2 - partition


def test_another_topic_of_events_is_read_from_its_beginning(waiting: Project) -> None:
    """Longer than the first one, and nothing of it is passed over; the first one's place stays."""
    before, longer = predicted(waiting), events(150, seed=9, most=1.0)
    elsewhere = '[topics]\nevents = "elsewhere"\n'
    changed(waiting, elsewhere)
    fed(waiting, longer)

    line = refused(waiting, 65)
    changed(waiting, elsewhere + 'predictions = "p"\nalerts = "a"\nquarantine = "q"\n')
    went_on(waiting)
    tail = waiting.stream("tail", "predictions", "--last", "500", "--json")
    changed(waiting)
    went_on(waiting)

    assert "outcomes up to the event before 120: none of them is of an event of elsewhere" in line
    assert "or name new output topics to begin again" in line
    told = [without_place(json.loads(each)) for each in tail.out.splitlines()]
    assert told == plain_loop.classify(make(), longer)
    assert predicted(waiting) == before + plain_loop.classify(make(), ALL)[len(before) :]
