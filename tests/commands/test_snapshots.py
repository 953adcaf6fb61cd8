"""`stream snapshots` from outside, on the embedded log."""

import pytest

from tests.commands.project import EMBEDDED, MODEL, Project


def test_list_says_what_is_stored(worked: Project) -> None:
    """Newest first, as a table and as JSON; -c may stand before the word or behind."""
    table = worked.bare("snapshots", "-c", "stream.toml", "list")
    document = worked.bare("snapshots", "list", "--json", "-c", "stream.toml")

    assert table.code == document.code == 0, (table, document)
    rows = [line.split()[:3] for line in table.out.splitlines()[1:]]
    assert rows == [["0", "600", "600"], ["0", "300", "300"]]
    told = [(s["n"], s["next_offset"]) for s in document.json["snapshots"]]
    assert told == [(600, 600), (300, 300)]
    assert set(document.json["snapshots"][0]) == {
        "partition", "n", "next_offset", "size_bytes", "age_s",
    }  # fmt: skip


def test_inspect_shows_the_signed_header(worked: Project) -> None:
    """What a snapshot is of, and with which recipe."""
    (found,) = worked.stream("snapshots", "inspect", "--offset", "300", "--json").json["snapshots"]
    text = worked.stream("snapshots", "inspect", "--offset", "300").out

    assert found["problem"] is None
    assert (found["header"]["n"], found["header"]["pipeline"]) == (300, "commands")
    assert found["header"]["recipe"]["model.factory"] == "stream.models:logistic_regression"
    assert text.startswith("partition 0 offset 300: signature ok\n")
    assert "  next_offset: 300\n" in text


def test_verify_replays_from_each(worked: Project) -> None:
    """A replay from an older snapshot ends in the very state that was committed."""
    done = worked.stream("snapshots", "verify")
    document = worked.stream("snapshots", "verify", "--json")

    assert done.code == document.code == 0, (done, document)
    assert done.out.splitlines() == [
        "partition 0 offset 600: ok, 0 records replayed",
        "partition 0 offset 300: ok, 300 records replayed",
        "2 snapshots verified",
    ]
    assert [(s["problem"], s["replayed"]) for s in document.json["snapshots"]] == [
        (None, 0),
        (None, 300),
    ]


def test_one_can_be_chosen(worked: Project) -> None:
    """By partition and offset."""
    done = worked.stream("snapshots", "verify", "--partition", "0", "--offset", "300")

    assert done.code == 0, done
    assert done.out.splitlines()[-1] == "1 snapshot verified"


def test_a_damaged_snapshot_is_told(worked: Project) -> None:
    """One changed byte: inspect says so and shows nothing of it, verify ends with 65."""
    changed = worked.sql(
        "UPDATE snapshots SET sealed = CAST(substr(sealed, 1, 99) || X'00' || substr(sealed, 101)"
        " AS BLOB) WHERE next_offset = 300"
    )
    assert changed == 1

    inspected = worked.stream("snapshots", "inspect", "--json")
    verified = worked.stream("snapshots", "verify")

    assert inspected.code == 0, inspected
    good, bad = inspected.json["snapshots"]
    assert good["problem"] is None
    assert bad["header"] is None
    assert "the signature does not fit" in bad["problem"]
    assert verified.code == 65, verified
    assert "partition 0 offset 600: ok" in verified.out
    assert "partition 0 offset 300: the signature does not fit" in verified.out
    assert "1 of 2 snapshots do not reproduce" in verified.err


@pytest.mark.parametrize("name", ["n", "next_offset"])
def test_a_snapshot_in_another_place_is_told(worked: Project, name: str) -> None:
    """Well signed, but not what its place says: to whoever verifies and to whoever inspects."""
    assert worked.sql(f"UPDATE snapshots SET {name} = 299 WHERE {name} = 300") == 1  # noqa: S608

    verified = worked.stream("snapshots", "verify")
    inspected = worked.stream("snapshots", "inspect", "--json")

    problem = f"it is a snapshot of something else: {name} is 300, not 299"
    assert verified.code == 65, verified
    assert problem in verified.out
    assert [s["problem"] for s in inspected.json["snapshots"]] == [None, problem]
    assert inspected.json["snapshots"][1]["header"][name] == 300


def test_a_changed_log_is_told(worked: Project) -> None:
    """A record that is not what it was gives another digest."""
    changed = worked.sql(
        "UPDATE records SET value = ? WHERE position ="
        " (SELECT id * 1099511627776 + 450 FROM partitions WHERE topic = 'commands.events')",
        b'{"features": {"x": 0.25}, "label": false}',
    )
    assert changed == 1

    done = worked.stream("snapshots", "verify")

    assert done.code == 65, done
    assert "partition 0 offset 600: ok" in done.out
    assert "partition 0 offset 300: replayed to 600 it gives digest" in done.out


def _change_event(project: Project, offset: int, *, value: bytes) -> None:
    changed = project.sql(
        "UPDATE records SET value = ? WHERE position ="
        " (SELECT id * 1099511627776 + ? FROM partitions WHERE topic = 'commands.events')",
        value,
        offset,
    )
    assert changed == 1


@pytest.mark.parametrize("value", [b'{"features": {"x": 0.25}, "label": false}', b"oops"])
def test_the_first_offset_that_differs_is_named(worked: Project, value: bytes) -> None:
    """Of several changed records the first; what was published of each tells."""
    _change_event(worked, 450, value=value)
    _change_event(worked, 500, value=value)

    done = worked.stream("snapshots", "verify")
    document = worked.stream("snapshots", "verify", "--json")

    assert done.code == document.code == 65, (done, document)
    assert "the first outcome that is not the published one is that of 450" in done.out
    assert [s["first_difference"] for s in document.json["snapshots"]] == [None, 450]


def test_without_the_published_outcomes_the_difference_lies_between_two_snapshots(
    worked: Project,
) -> None:
    """What retention has taken of the outputs cannot tell more; the digests yet do."""
    assert worked.fed(300).code == 0
    assert worked.stream("run", "--until-end").code == 0
    _change_event(worked, 450, value=b"oops")
    assert worked.sql(
        "UPDATE partitions SET start_offset = end_offset"
        " WHERE topic IN ('commands.predictions', 'commands.quarantine')"
    )

    done = worked.stream("snapshots", "verify")

    assert done.code == 65, done
    assert "partition 0 offset 600: ok, 300 records replayed" in done.out
    assert "partition 0 offset 300: replayed to 600 it gives digest" in done.out
    assert "the difference lies between offsets 300 and 599" in done.out


def test_a_log_that_is_too_short_is_told(worked: Project) -> None:
    """What retention has taken cannot be replayed."""
    assert worked.sql("UPDATE partitions SET start_offset = 400 WHERE topic = 'commands.events'")

    done = worked.stream("snapshots", "verify")

    assert done.code == 65, done
    assert "partition 0 offset 300: cannot be replayed" in done.out


def test_snapshots_of_an_earlier_recipe_are_skipped(worked: Project) -> None:
    """After a rebuild the old ones are of no use, and nothing is wrong; it says what changed."""
    model = MODEL + 'params = { l2 = 0.5 }\non_change = "rebuild"\n'
    worked.configure(EMBEDDED + model)
    assert worked.fed(50).code == 0
    assert worked.stream("run", "--until-end").code == 0

    done = worked.stream("snapshots", "verify")

    assert done.code == 0, done
    assert "partition 0 offset 650: ok" in done.out
    assert "offset 600: of another recipe (model.params.l2: unset -> 0.5): skipped" in done.out
    assert done.out.splitlines()[-1] == "1 snapshot verified, 2 of other folds skipped"
    told = worked.stream("snapshots", "verify", "--json").json["snapshots"]
    assert [each["skipped"] is None for each in told] == [True, False, False]
    assert [each["problem"] for each in told] == [None, None, None]


def test_another_configuration_than_the_workers_is_78(worked: Project) -> None:
    """A fold under another recipe proves nothing, so it is not tried."""
    worked.configure(EMBEDDED + MODEL + "params = { l2 = 0.5 }\n")

    done = worked.stream("snapshots", "verify")

    assert done.code == 78, done
    assert "was committed with another recipe" in done.err


def test_without_the_key_nothing_can_be_inspected(worked: Project) -> None:
    """Unlike a worker these commands make no key: the line says where to run them."""
    key = worked.folder / "log.sqlite.commands.key"
    key.unlink()

    for word in ("inspect", "verify"):
        done = worked.stream("snapshots", word)

        assert done.code == 78, done
        assert "no key of its own" in done.err
        assert not key.exists()


def test_a_missing_offset_is_bad_input(worked: Project) -> None:
    """65, with those that are there."""
    done = worked.stream("snapshots", "inspect", "--offset", "7")

    assert done.code == 65, done
    assert "no snapshot at offset 7; stored are: 600, 300" in done.err


@pytest.mark.parametrize(
    "words", [(), ("lost",), ("verify", "--partition", "3"), ("list", "--partition", "x")]
)
def test_wrong_words_are_a_usage_error(worked: Project, words: tuple[str, ...]) -> None:
    """64 and one line."""
    done = worked.stream("snapshots", *words)

    assert done.code == 64, done
    assert len(done.err.splitlines()) == 1


def test_nothing_stored_is_nothing_wrong(project: Project) -> None:
    """Before the first run there is no snapshot and no key: nobody misses one, or makes one."""
    assert project.fed(5).code == 0

    done = project.stream("snapshots", "verify")
    inspected = project.stream("snapshots", "inspect")

    assert (done.code, done.err) == (0, ""), done
    assert done.out == "no snapshots: there is nothing to verify\n"
    assert (inspected.code, inspected.out) == (0, "no snapshots\n"), inspected
    assert not (project.folder / "log.sqlite.commands.key").exists()


def test_a_partition_without_a_snapshot_is_told_with_what_its_next_start_costs(
    worked: Project,
) -> None:
    """A cache that lost everything is no error, but nobody may take it for proof."""
    assert worked.sql("DELETE FROM snapshots")

    verified = worked.stream("snapshots", "verify")
    document = worked.stream("snapshots", "verify", "--json")
    listed = worked.stream("snapshots", "list")
    inspected = worked.stream("snapshots", "inspect")

    assert (verified.code, verified.out.splitlines()) == (
        0,
        [
            "partition 0: no snapshot; the next start replays 600 events from the log, from 0 on",
            "no snapshots: there is nothing to verify",
        ],
    ), verified
    assert document.json["snapshots"] == []
    assert (listed.code, listed.out) == (inspected.code, inspected.out) == (0, "no snapshots\n")
