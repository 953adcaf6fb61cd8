"""Commands to a worker in named situations; the auditor knows what each must come to."""

from collections.abc import Collection

import pytest

from stream.adapters.memory.broker import no_faults
from stream.core.event import COMMANDED, Channel
from stream.errors import Misconfigured
from stream.runtime.kept_topics import LACKING_S, Readiness
from stream.telemetry import LogEvent
from tests.instruments.simulation.stage import Stage, away, commanded, said
from tests.instruments.simulation.workload import event, events
from tests.instruments.simulation.world import NAMES, Options, Process

OPTIONS = Options(is_commanded=True, commit_interval_s=0.0)


def _begun(n: int = 6, options: Options = OPTIONS, **stage: int) -> tuple[Stage, Process]:
    """Some events that a worker is done with; it takes commands."""
    return commanded(n, options, **stage)


def test_what_is_frozen_predicts_and_does_not_learn() -> None:
    """Until it is told to learn again; the plain loop does the same at the same places."""
    stage, process = _begun()

    stage.world.commands.send("freeze")
    stage.answer(process)
    stage.send(events(5, seed=1))
    stage.finish(process)
    learned = stage.auditor.learned(0)
    stage.world.commands.send("unfreeze")
    stage.answer(process)
    stage.send(events(5, seed=2))
    stage.finish(process)

    assert learned == 6
    assert stage.auditor.learned(0) == 11
    assert [told["what"] for told in stage.ledger()] == ["freeze", "unfreeze"]


def test_a_reset_begins_untrained_and_keeps_what_there_was() -> None:
    """Another version of the model predicts; the snapshot before it stays whatever comes."""
    stage, process = _begun(options=_often(keep=2))

    stage.world.commands.send("reset")
    stage.answer(process)
    for seed in range(6):
        stage.send(events(5, seed=seed))
        stage.finish(process)

    (told,) = stage.ledger()
    assert (told["before"]["version"], told["after"]["version"]) == (1, 2)
    assert stage.snapshots[0] == 6
    assert len(stage.snapshots) == 1 + 2


def test_what_a_reset_keeps_is_committed() -> None:
    """Where commands came just before it, they are committed first, by themselves."""
    stage, process = _begun(options=_often(keep=2))

    stage.world.commands.send("freeze", "reset", "reset")
    stage.answer(process)

    assert [told["what"] for told in stage.ledger()] == ["freeze", "reset", "reset"]
    assert len(stage.published(Channel.JOURNAL)) == 3


def _often(*, keep: int) -> Options:
    return Options(is_commanded=True, commit_interval_s=0.0, replay_budget_s=0.001, keep=keep)


def test_a_paused_partition_stands_still_and_the_others_go_on() -> None:
    """Until it is told to go on; nothing is lost meanwhile, and nobody has to start again."""
    stage, process = _begun(partitions_n=2)

    stage.world.commands.send("pause")
    stage.answer(process)
    for partition in range(2):
        stage.send(events(5, seed=1), partition=partition)
    stage.turns(process, until=lambda: stage.auditor.lag() == {0: 5})
    stage.for_a_while(process)
    assert stage.auditor.lag() == {0: 5}
    stage.world.commands.send("resume")

    stage.finish(process)


@pytest.mark.parametrize("n", [1, 20])
def test_pause_and_resume_in_one_look_deliver_no_event_twice(n: int) -> None:
    """What was polled before is what the log delivers again: it is not folded twice."""
    stage, process = _begun()
    stage.send(events(n, seed=1))
    stage.world.commands.send("pause", "resume")

    stage.finish(process)
    stage.for_a_while(process)

    assert stage.auditor.outcomes_n(0) == 6 + n


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_command_that_comes_twice_is_done_once(is_restarted: bool) -> None:
    """Also where another process has it the second time, which knows by the journal."""
    stage, process = _begun()
    stage.world.commands.send("reset", command_id="same")
    stage.answer(process)
    stage.send(events(4, seed=1))
    stage.finish(process)
    if is_restarted:
        stage.kill(process)
        process = stage.start(OPTIONS)

    stage.world.commands.send("reset", command_id="same")
    stage.answer(process)

    assert len(stage.ledger()) == 1
    assert len(stage.published(Channel.JOURNAL)) == 2  # that it came again is a step


def test_a_command_that_comes_late_is_never_done() -> None:
    """It is answered, and is no step: nothing of it is in the journal."""
    stage, process = _begun()

    stage.world.commands.send("freeze", within_ms=500, age_ms=1_000)
    stage.answer(process)

    (told,) = stage.ledger()
    assert (told["what"], told["evidence"]) == ("refused", {"command": "freeze", "reason": "late"})
    assert not stage.published(Channel.JOURNAL)


def test_a_command_that_was_done_is_not_refused_when_it_comes_again_late() -> None:
    """Whoever sent it has its answer, and another one would say the opposite."""
    stage, process = _begun()
    stage.world.commands.send("freeze", command_id="same")
    stage.answer(process)

    stage.world.commands.send("freeze", command_id="same", within_ms=500, age_ms=1_000)
    stage.answer(process)

    assert [told["what"] for told in stage.ledger()] == ["freeze"]


@pytest.mark.parametrize("what", ["promote", "renew"])
def test_what_nobody_can_do_is_refused(what: str) -> None:
    """With the reason, and it is a step: a model that could be promoted would be a state."""
    stage, process = _begun()

    stage.world.commands.send(what)
    stage.answer(process)

    (told,) = stage.ledger()
    assert told["evidence"] == {"command": what, "reason": "nothing to promote"}


@pytest.mark.parametrize(
    "value",
    [None, b"", b"oops", b"{}", b'{"id":"a","what":"explode","by":"","why":"","within_ms":1}',
     b"\xff", b'{"note": "' + b"." * 2_000_000 + b'"}'],
    ids=["none", "empty", "text", "fields", "what", "bytes", "huge"],
)  # fmt: skip
def test_what_is_no_command_is_passed_over(value: bytes | None) -> None:
    """A line says so; the next one is done."""
    stage, process = _begun()

    stage.world.commands.append(value)
    stage.world.commands.send("freeze")
    stage.answer(process)

    (line,) = said(process, LogEvent.COMMAND_REFUSED)
    assert line["offset"] == 0
    assert [told["what"] for told in stage.ledger()] == ["freeze"]


def test_a_flood_of_commands_fits_the_records_that_tell_of_it() -> None:
    """A record of the journal stays below what a broker takes, however many come at once."""
    stage, process = _begun()
    for _ in range(1_000):
        stage.world.commands.send("freeze", why="\N{SNOWMAN}" * 1_000)

    stage.answer(process)

    sizes = [len(record.value or b"") for record in stage.published(Channel.JOURNAL)]
    assert max(sizes) < 1 << 20
    assert len(stage.ledger()) == 1_000


def test_a_command_that_is_far_too_long_is_none() -> None:
    """Whatever fields it has beside ours: the journal's record of it would fit no topic."""
    stage, process = _begun()
    sent = stage.world.commands.send("freeze")
    stage.answer(process)
    value = stage.world.commands.sent[0][0].value or b""

    stage.world.commands.append(value[:-1] + b', "note": "' + b"." * 40_000 + b'"}')
    stage.answer(process)
    stage.for_a_while(process)

    (line,) = said(process, LogEvent.COMMAND_REFUSED)
    assert "40" in str(line["why"])
    assert sent
    assert len(stage.published(Channel.JOURNAL)) == 1


def test_commands_wait_for_a_restore_and_come_before_the_next_event() -> None:
    """Where a partition is being restored, it is not there yet that could fold them."""
    stage, process = _begun(12)
    stage.kill(process)
    stage.world.commands.send("freeze", "reset")
    stage.send(events(3, seed=1))
    second = stage.start(OPTIONS)

    stage.answer(second)
    stage.finish(second)

    assert [told["offset"] for told in stage.ledger()] == [12, 12]


def test_commands_follow_a_partition_to_its_next_owner() -> None:
    """One that was seen and not folded is not lost with its first owner, nor done by both."""
    stage, process = _begun(partitions_n=2)
    for partition in range(2):
        stage.world.commands.send("freeze", partition=partition)
    stage.world.look(process)
    second = stage.start(OPTIONS)
    for partition in range(2):
        stage.send(events(5, seed=1), partition=partition)

    for _ in range(60):
        stage.turn(process)
        stage.turn(second)

    assert stage.is_done()
    assert [told["what"] for told in stage.ledger(0) + stage.ledger(1)] == ["freeze", "freeze"]


def test_a_partition_that_a_poll_takes_away_takes_its_commands_along() -> None:
    """What its former owner has read of the control topic is not done by it any more."""
    stage, process = _begun()
    stage.world.commands.send("reset")
    stage.world.look(process)
    stage.kill(process)
    stage.world.is_looking = lambda: False

    stage.for_a_while(process)
    stage.world.is_looking = lambda: True
    stage.answer(process)

    assert len(stage.ledger()) == 1


def test_a_control_topic_that_is_away_costs_commands_and_nothing_else() -> None:
    """Events go on; what was sent meanwhile is done once it can be read."""
    stage, process = _begun()
    stage.world.faults = away("look")
    stage.world.commands.send("freeze")
    stage.send(events(5, seed=1))
    stage.finish(process)
    assert len(said(process, LogEvent.CONTROL_UNREADABLE)) == 1

    stage.world.faults = no_faults
    stage.answer(process)

    assert stage.auditor.learned(0) == 11


def test_a_pipeline_without_a_control_topic_takes_no_commands() -> None:
    """Until there is one; it is made with the first command, and begins with that."""
    stage = Stage()
    topic = stage.world.broker.topics.pop(stage.world.commands.name)
    stage.send([event(label=True, x=1.0)])
    process = stage.start(OPTIONS)
    stage.finish(process)
    assert not said(process, LogEvent.CONTROL_UNREADABLE)

    stage.world.broker.topics[stage.world.commands.name] = topic
    stage.world.commands.send("freeze")
    stage.answer(process)

    assert [told["what"] for told in stage.ledger()] == ["freeze"]


def test_a_truncated_control_topic_goes_on_with_what_it_has() -> None:
    """Retention takes commands whose time is long over."""
    stage, process = _begun()
    stage.world.commands.send("freeze", "unfreeze")
    stage.answer(process)
    stage.kill(process)
    stage.world.commands.send("freeze")
    stage.world.commands.truncate(0)
    stage.world.commands.send("reset")

    stage.answer(stage.start(OPTIONS))

    assert [told["what"] for told in stage.ledger()] == ["freeze", "unfreeze", "reset"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_control_topic_that_was_made_again_is_read_from_its_start(is_restarted: bool) -> None:
    """Its offsets begin anew, and what is committed of them points behind its end."""
    stage, process = _begun()
    stage.world.commands.send("freeze", "unfreeze", "freeze")
    stage.answer(process)
    stage.world.commands.make_again()
    stage.world.commands.send("unfreeze")
    stage.answer(process)
    if is_restarted:
        stage.kill(process)
        process = stage.start(OPTIONS)
        stage.finish(process)

    for _ in range(4):  # one more, and it reaches behind where the first one ended
        stage.world.commands.send("reset")
    stage.answer(process)

    assert [told["what"] for told in stage.ledger()][4:] == ["reset"] * 4


def test_a_journal_that_cannot_be_written_costs_the_command_and_nothing_else() -> None:
    """It was there a moment ago; the command waits until it is there again."""
    stage, process = _begun()
    topics, name = stage.world.broker.topics, NAMES[Channel.JOURNAL]

    def ready(_: Collection[Channel]) -> None:
        if name not in topics:
            raise Misconfigured(f"topics.journal: {name} does not exist")

    readiness = process.worker._beside.commanding._readiness = Readiness(ready, stage.clock)
    assert readiness.lacks(*COMMANDED) == ""
    journal = topics.pop(name)
    stage.is_audited = False
    stage.world.commands.send("freeze")
    stage.send(events(4, seed=1))
    stage.turns(process, until=lambda: stage.committed[0].offset == 10)
    assert len(said(process, LogEvent.COMMANDS_WAIT)) == 1
    assert stage.ledger() == []

    topics[name] = journal
    stage.is_audited = True
    stage.clock.sleep(LACKING_S)
    stage.answer(process)
    assert [(told["what"], told["offset"]) for told in stage.ledger()] == [("freeze", 10)]
