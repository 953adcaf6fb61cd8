"""`stream control` from outside; the answers are written by hand."""

import json
import os
import pwd
import signal
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from stream.core.commands import Command, What
from stream.core.event import COMMANDED, Channel
from stream.core.formats.commands import COMMAND, command_in, written
from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.commanding import answer, made, publish, refused, told
from tests.commands.project import (
    EMBEDDED,
    MODEL,
    PIPELINE,
    Done,
    Project,
    closed_port,
    unreachable,
)
from tests.commands.terminal import on_terminal

WHY = ("--why", "bad upstream deploy")


@pytest.fixture
def two(project: Project) -> Project:
    """A pipeline whose events have two partitions."""
    made(project)
    return project


def sent(project: Project, partition: int = 0) -> list[Command]:
    """The commands that lie in a partition of the control topic."""
    return [command_in(r) for r in project.records(Channel.CONTROL, partition)]


def test_a_command_is_done_once_every_partition_says_so(two: Project) -> None:
    """One record to each partition; a line for each answer, and 0."""
    words = ("control", "-c", "stream.toml", "freeze", *WHY, "--by", "ada", "--within", "2m")
    before_ms = time.time_ns() // 1_000_000
    with two.running(*words) as running:
        running.line("freeze sent to partitions 0, 1 ")
        (command,), (other,) = sent(two, 0), sent(two, 1)
        answer(two, "another", {0: told("pause"), 1: told("pause", partition=1)})
        answer(two, command.id, {1: told(partition=1, offset=7, n=8)})
        answer(two, command.id, {0: told()})
        done = running.end()

    assert done.code == 0, done
    assert sorted(done.out.splitlines()) == [
        "partition 0: freeze at offset 1337 (step 1340)",
        "partition 1: freeze at offset 7 (step 8)",
    ]
    assert command == other == Command(
        id=command.id, what=What.FREEZE, by="ada", why=WHY[1], within_ms=120_000
    )  # fmt: skip
    (record,) = two.records(Channel.CONTROL)
    assert (record.key, record.headers) == (None, ())
    assert before_ms <= record.timestamp_ms <= time.time_ns() // 1_000_000
    for channel in COMMANDED:
        assert two.end(channel, 1) is not None, "has as many partitions as the events"


def test_a_refusal_anywhere_is_65(two: Project) -> None:
    """Each partition says what became of it; why it was refused is a word for programs."""
    with two.running("control", "-c", "stream.toml", "promote", *WHY) as running:
        running.line("promote sent to")
        own_id = sent(two)[0].id
        answer(two, own_id, {0: refused("promote", "nothing to promote"), 1: told("promote")})
        done = running.end()

    assert done.code == 65, done
    assert sorted(done.out.splitlines()) == [
        "partition 0: refused: nothing to promote",
        "partition 1: promote at offset 1337 (step 1340)",
    ]
    assert "stream: promote was refused by partition 0\n" in done.err


def test_what_is_not_answered_in_time_is_69_and_named(two: Project) -> None:
    """It ends within five seconds after the command's own time, and says what to look at."""
    with two.running("control", "-c", "stream.toml", "pause", *WHY, "--within", "1s") as running:
        running.line("pause sent to")
        began_s = time.monotonic()
        answer(two, sent(two)[0].id, {1: told("pause", partition=1)})
        done = running.end()
        took_s = time.monotonic() - began_s

    assert done.code == 69, done
    assert 3.0 < took_s < 7.0  # 6, and the process's end
    assert done.out == "partition 1: pause at offset 1337 (step 1340)\n"
    assert "partition 0 did not answer pause within 1 s; is a worker running" in done.err
    assert "`stream status`" in done.err


def test_only_the_partitions_that_are_named_are_commanded(two: Project) -> None:
    """Nothing is sent to the others; one that is not there is a mistake of the words."""
    words = ("control", "-c", "stream.toml", "resume", *WHY, "--partition", "1")
    with two.running(*words, "--partition", "1") as running:
        running.line("resume sent to partition 1 ")
        answer(two, sent(two, 1)[0].id, {1: told("resume", partition=1)})
        done = running.end()
    beyond = two.stream("control", "resume", *WHY, "--partition", "0", "--partition", "2")

    assert (done.code, beyond.code) == (0, 64), (done, beyond)
    assert (len(sent(two, 0)), len(sent(two, 1))) == (0, 1)
    assert f"{PIPELINE}.events has no partition 2" in beyond.err


def test_a_command_sent_again_with_its_id_is_asked_for_only_where_it_was_not_answered(
    two: Project,
) -> None:
    """What was answered then is the answer, and nothing is sent where there is one."""
    again = ("control", "freeze", *WHY, "--id", "deploy-7")
    with two.running("control", "-c", "stream.toml", *again[1:], "--within", "1s") as running:
        running.line("freeze sent to partitions 0, 1 as deploy-7")
        answer(two, "deploy-7", {0: told()})
        assert running.end().code == 69
    with two.running("control", "-c", "stream.toml", *again[1:]) as running:
        running.line("freeze sent to partition 1 as deploy-7")
        answer(two, "deploy-7", {1: refused("freeze", "late")})
        second = running.end()
    third = two.stream(*again)
    other = two.stream("control", "unfreeze", *WHY, "--id", "deploy-7")

    assert [len(sent(two, p)) for p in range(2)] == [1, 2]
    assert (second.code, third.code, other.code) == (65, 65, 64), (second, third, other)
    assert third.out.splitlines() == [
        "partition 0: freeze at offset 1337 (step 1340) (answered before)",
        "partition 1: refused: late (answered before)",
    ]
    assert "deploy-7 was a command to freeze" in other.err


def test_what_is_no_answer_of_ours_is_passed_over(two: Project) -> None:
    """Other bytes under its header, and another pipeline's, that has the same ledger."""
    words = ("control", "-c", "stream.toml", "freeze", *WHY, "--partition", "0", "--id", "a")
    with two.running(*words) as running:
        running.line("freeze sent to")
        publish(two, (0, b"{}", "a"), (0, b"\xff", "a"))
        answer(two, "a", {0: told(id="another/0/1/freeze", offset=1)})
        answer(two, "a", {0: told(offset=2)})
        done = running.end()

    assert (done.code, done.out) == (0, "partition 0: freeze at offset 2 (step 1340)\n"), done


def test_topics_that_may_not_be_made_are_named(project: Project) -> None:
    """Nothing is sent then, and a topic that is too narrow is one too."""
    made(project)
    made(project, Channel.CONTROL, partitions=1)
    made(project, Channel.LEDGER)
    project.configure(f"{EMBEDDED}{MODEL}\n[topics]\ncreate = false\n")

    done = project.stream("control", "freeze", *WHY)

    assert done.code == 78, done
    first, second = done.err.splitlines()
    assert f"topics.control: {PIPELINE}.control has only 1 partitions" in first
    assert f"topics.journal: {PIPELINE}.journal does not exist" in second
    assert sent(project) == []


def test_a_control_topic_that_is_too_narrow_is_widened(project: Project) -> None:
    """The events got partitions since; each of them is commanded."""
    made(project)
    made(project, Channel.CONTROL, partitions=1)

    done = project.stream("control", "freeze", *WHY, "--within", "0s")

    assert done.code == 69, done
    assert [len(sent(project, p)) for p in range(2)] == [1, 1]


def test_without_events_there_is_nobody_to_command(project: Project) -> None:
    """A pipeline that has never begun is told so, and no topic is made."""
    done = project.stream("control", "freeze", *WHY)

    assert done.code == 78, done
    assert f"topics.events: {PIPELINE}.events does not exist" in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("freeze",), "Missing option '--why'"),
        (("thaw", *WHY), "'thaw' is not one of 'freeze'"),
        (("freeze", "--why", " "), "--why: is empty"),
        (("freeze", "--why", "x" * 1001), "--why: has 1001 characters; write 1000 at most"),
        (("freeze", *WHY, "--by", "x" * 1001), "--by: has 1001 characters"),
        (("freeze", *WHY, "--id", "x" * 129), "--id: has 129 characters; write 128 at most"),
        (("freeze", *WHY, "--id", ""), "--id: is empty"),
        (("freeze", *WHY, "--within", "60"), '--within: "60" is no duration'),
        (("freeze", *WHY, "--within", "8d"), "--within: 8d is too long; write 7d or less"),
        (("freeze", "--why", "\udcff"), "--why: is not UTF-8"),
    ],
)
def test_words_that_are_off_are_64(two: Project, words: tuple[str, ...], why: str) -> None:
    """One line says what to write instead, before anything is asked or sent."""
    done = two.stream("control", *words)

    assert (done.code, len(done.err.splitlines())) == (64, 1), done
    assert why in done.err


def test_who_commands_is_who_types(two: Project) -> None:
    """Unless another name is given; texts may be of any language."""
    why = "Übung: 試験 \x1b[31m"
    done = two.stream("control", "freeze", "--why", why, "--within", "0s", LOGNAME="mallory")

    assert done.code == 69, done
    (command,) = sent(two)
    assert (command.by, command.why) == (pwd.getpwuid(os.getuid()).pw_name, why)


def test_an_interrupted_wait_says_that_the_command_may_still_be_done(two: Project) -> None:
    """Ctrl-C ends the waiting, not the command: 130."""
    with two.running("control", "-c", "stream.toml", "reset", *WHY) as running:
        running.line("reset sent to")
        done = running.stop(signal.SIGINT)

    assert done.code == 130, done
    assert "may still be done" in done.err
    assert sent(two)[0].id in done.err
    assert "interrupted" in done.err


@pytest.mark.parametrize("columns", [80, 30])
def test_a_terminal_gets_lines_that_fit(two: Project, columns: int) -> None:
    """Also a small one; and an answer cannot move its cursor."""
    reason = "\x1b[31m\u202e\x07 late"
    words = ("control", "-c", "stream.toml", "freeze", *WHY, "--id", "a")
    for channel in COMMANDED:
        made(two, channel)
    answer(two, "a", {0: refused("freeze", reason), 1: told()})

    done = on_terminal(two, *words, columns=columns, errors=True)

    assert done.code == 65, done
    lines = done.out.splitlines()
    assert all(len(line) <= columns for line in lines), lines
    assert all(line.isprintable() for line in lines), lines
    assert "\\x1b[31m" in "".join(lines)


def test_a_kafka_that_is_away_is_69(project: Project) -> None:
    """Nothing was sent, and it says where it looked."""
    project.configure(unreachable(closed_port()) + MODEL)

    done = project.stream("control", "freeze", *WHY)

    assert done.code == 69, done
    assert "reachable" in done.err


@pytest.mark.broker
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_commands_and_answers_go_through_every_client(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """On a real Kafka: the topics are made, the command lies where it belongs, the ledger lists."""
    from kafka import KafkaConsumer, KafkaProducer  # noqa: PLC0415

    project = Project(tmp_path)
    project.configure(
        f'[kafka]\nclient = "{client}"\nbootstrap_servers = "{kafka.bootstrap_servers}"\n'
        f'[redis]\nurl = "{redis_server.url}"\n{MODEL}',
        pipeline=pipeline,
    )
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic(f"{pipeline}.events", 2, 1)])
    admin.close()

    def answered(partition: int) -> bytes:
        return written(told(id=f"{pipeline}/{partition}/1/freeze", partition=partition))

    with project.running("control", "-c", "stream.toml", "freeze", *WHY) as running:
        running.line("freeze sent to partitions 0, 1")
        consumer = KafkaConsumer(
            f"{pipeline}.control", bootstrap_servers=kafka.bootstrap_servers,
            auto_offset_reset="earliest", consumer_timeout_ms=10_000,
        )  # fmt: skip
        records = [next(consumer) for _ in range(2)]
        consumer.close()
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        for record in records:
            own_id = json.loads(record.value)["id"]
            producer.send(
                f"{pipeline}.ledger", answered(record.partition), partition=record.partition,
                headers=[(COMMAND, own_id.encode())],
            )  # fmt: skip
        producer.flush()
        producer.close()
        done: Done = running.end()
    listed = project.stream("ledger", "--json")

    assert done.code == 0, done
    assert {record.partition for record in records} == {0, 1}
    assert len(done.out.splitlines()) == 2
    assert listed.out.encode().splitlines() == [answered(0), answered(1)], listed
