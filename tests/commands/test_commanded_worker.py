"""A worker that is commanded, on the embedded log: killed at any moment, each is done once."""

import json
import signal

import pytest
from river import linear_model, preprocessing

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, HASH_SEED, Done, Project
from tests.patience import eventually

CONFIG = (
    EMBEDDED
    + f"""
[model]
factory = "mine:make"
hash_seed = {HASH_SEED}
[alerts]
policy = "raw"
[snapshots]
recovery_time_s = 1
"""
)
MINE = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
FED_N = 400
ROUNDS = ("freeze", "unfreeze", "reset", "pause", "resume", "reset")


@pytest.fixture
def begun(project: Project) -> Project:
    """A pipeline whose first events are done."""
    project.write("mine.py", MINE)
    project.configure(CONFIG)
    assert project.fed(FED_N).code == 0
    assert project.stream("run", "--until-end").code == 0
    return project


def control(project: Project, what: str, *more: str) -> Done:
    """`stream control`."""
    return project.stream("control", what, "--why", "a test", *more)


def ledger(project: Project) -> list[dict[str, object]]:
    """What `stream ledger` lists."""
    done = project.stream("ledger", "--json")
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def plain_loop(project: Project) -> list[bool]:
    """What river predicts that is told the ledger's places, and nothing else of the worker."""
    done = [(each["offset"], each["what"]) for each in ledger(project)]
    learns, predicted = True, []
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for record in project.records():
        for what in (what for offset, what in done if offset == record.offset):
            if what == "reset":
                model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
            elif what in ("freeze", "unfreeze"):
                learns = what == "unfreeze"
        event = json.loads(record.value or b"")
        predicted.append(bool(model.predict_one(event["features"])))
        if learns:
            model.learn_one(event["features"], event["label"])
    return predicted


def published(project: Project) -> list[bool]:
    """What the worker predicted, of each event once."""
    found = [json.loads(r.value or b"") for r in project.records(Channel.PREDICTIONS)]
    assert [each["offset"] for each in found] == list(range(len(found)))
    return [each["prediction"] for each in found]


def test_killed_after_each_command_it_predicts_what_a_plain_loop_does(begun: Project) -> None:
    """By SIGKILL; and so does a fold that is made again from events and journal alone."""
    for number, what in enumerate(ROUNDS):
        with begun.running("run", "-c", "stream.toml") as worker:
            assert control(begun, what, "--id", f"{number}").code == 0
            worker.process.send_signal(signal.SIGKILL)
            worker.end()
        assert begun.fed(100, seed=number).code == 0
        # Paused it cannot reach the end: that is said.
        assert begun.stream("run", "--until-end").code == (65 if what == "pause" else 0)

    assert [each["what"] for each in ledger(begun)] == list(ROUNDS)
    assert published(begun) == plain_loop(begun)
    begun.sql("DELETE FROM snapshots")
    assert begun.stream("run", "--until-end").code == 0
    assert begun.stream("snapshots", "verify").code == 0


def test_a_command_that_waits_goes_before_the_next_event(begun: Project) -> None:
    """It was sent while no worker ran: the first thing that the next one does."""
    assert control(begun, "freeze", "--within", "1s").code == 69, "nobody is there"
    assert control(begun, "freeze", "--within", "0s").code == 69, "late, once somebody comes"
    with begun.running("control", "-c", "stream.toml", "freeze", "--why", "now") as waiting:
        eventually(lambda: begun.end(Channel.CONTROL) == 3, "it is sent")
        assert begun.fed(100, seed=1).code == 0
        assert begun.stream("run", "--until-end").code == 0
        assert waiting.end().code == 0

    assert [(each["what"], each["offset"]) for each in ledger(begun)] == [
        ("refused", FED_N), ("refused", FED_N), ("freeze", FED_N),
    ]  # fmt: skip
    last = json.loads(begun.records(Channel.PREDICTIONS)[-1].value or b"")
    assert (last["offset"], last["learned"]) == (FED_N + 99, FED_N)
    (row,) = begun.stream("status", "--json").json["partitions"]
    assert (row["frozen"], row["paused"]) == (True, False)


def test_what_was_before_a_reset_stays(begun: Project) -> None:
    """As a snapshot that retention passes over, however many come after it."""
    with begun.running("run", "-c", "stream.toml"):
        assert control(begun, "reset").code == 0
    for seed in range(6):
        assert begun.fed(20, seed=seed).code == 0
        assert begun.stream("run", "--until-end").code == 0

    listed = begun.stream("snapshots", "list", "--json").json["snapshots"]
    assert FED_N in [each["n"] for each in listed], listed
    assert begun.stream("snapshots", "verify").code == 0


def test_a_changed_setting_is_told_in_the_ledger(begun: Project) -> None:
    """Who keeps, rebuilds or begins untrained is the worker; what changed is the reason."""
    for added, what in (
        ("[limits]\nclasses_max = 9\n", "keep"),
        ("[limits]\nclasses_max = 8\n", "keep"),
    ):
        begun.configure(CONFIG + added)
        assert begun.stream("run", "--until-end").code == 0
        told = ledger(begun)[-1]
        assert (told["what"], told["by"], told["input"]) == (what, "worker", "worker")
        assert "limits.classes_max" in str(told["why"])
    for how in ("rebuild", "fresh"):
        begun.configure(
            (CONFIG + "[limits]\nclasses_max = 8\n").replace(
                "[model]\n", f'[model]\non_change = "{how}"\n'
            )
        )
        begun.write("mine.py", MINE + f"\nCHANGED = {how!r}\n")
        assert begun.stream("run", "--until-end").code == 0
        assert ledger(begun)[-1]["what"] == how


def test_check_says_what_of_the_journal_is_gone(begun: Project) -> None:
    """A fold cannot be made again without it; before the first command there is nothing to say."""
    assert "journal" not in begun.stream("check").out
    with begun.running("run", "-c", "stream.toml"):
        assert control(begun, "freeze").code == 0
        assert control(begun, "unfreeze").code == 0  # what is hidden yet is waited for
    done = begun.stream("check")
    assert (done.code, done.said("commands.journal")) == (0, True), done

    begun.sql("UPDATE partitions SET start_offset = 1 WHERE topic = 'commands.journal'")

    done = begun.stream("check")
    assert done.code == 78
    assert done.said("record 1 of the journal is gone")
    begun.sql("DELETE FROM snapshots")
    done = begun.stream("run", "--until-end")
    assert done.code == 65
    assert done.said("record 1 of the journal is gone")


def gone(project: Project, channel: Channel) -> None:
    """A topic is deleted."""
    name = f"commands.{channel}"
    project.sql(f"DELETE FROM partitions WHERE topic = '{name}'")  # noqa: S608  # our own names
    project.sql(f"DELETE FROM topics WHERE name = '{name}'")  # noqa: S608


def checked(project: Project, code: int, text: str) -> None:
    """`stream check` says it in one line."""
    done = project.stream("check")
    assert done.code == code, done
    assert [text in line for line in (done.out + done.err).splitlines()].count(True) == 1, done


def test_check_says_what_became_of_the_topics_for_commands(begun: Project) -> None:
    """Each in one line: what costs only commands is a note, what costs the state a problem."""
    with begun.running("run", "-c", "stream.toml"):
        assert control(begun, "freeze").code == 0
    assert begun.fed(50, seed=1).code == 0
    assert begun.stream("run", "--until-end").code == 0  # and leaves a snapshot
    assert control(begun, "unfreeze", "--within", "0s").code == 69, "nobody is there"
    assert control(begun, "unfreeze", "--within", "0s").code == 69
    begun.sql("UPDATE partitions SET start_offset = 3 WHERE topic = 'commands.control'")
    checked(begun, 0, "records 1 to 2 were deleted before a worker read them")
    gone(begun, Channel.CONTROL)
    checked(begun, 0, "commands.control does not exist, and commands are sent there; the next")

    gone(begun, Channel.JOURNAL)
    checked(begun, 78, "record 1 of the journal is gone")

    # With a base nothing of it is needed any more: the next command makes it.
    begun.configure(CONFIG + "[limits]\nclasses_max = 9\n")
    assert begun.stream("run", "--until-end").code == 0
    checked(begun, 0, "commands.journal does not exist")
    begun.sql("DELETE FROM snapshots")
    assert begun.stream("run", "--until-end").code == 0
    with begun.running("run", "-c", "stream.toml"):
        assert control(begun, "unfreeze").code == 0
    checked(begun, 0, "ok commands: commands.control")
