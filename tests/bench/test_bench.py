"""The bench itself: that its figures are whole, and that it would notice a loop that cheats."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import digest, environments, loops, page
from tests.bench.digest import Predicted
from tests.bench.stage import REPOSITORY


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The JSON of a tiny run without a server."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    arguments = ["--kafka", "embedded", "--client", "embedded", "--events", "2000"]
    command = [sys.executable, "-m", "tests.bench", *arguments, "--rounds", "1"]
    subprocess.run([*command, "--json", str(path)], cwd=REPOSITORY, check=True, timeout=240)
    return json.loads(path.read_text())


def test_a_run_tells_where_and_how_it_was_made(told: Any) -> None:
    """Machine, date, command and versions stand beside the figures."""
    assert told["format"] == 1
    assert told["command"].startswith("scripts/bench --kafka embedded")
    assert told["kafka"] == "embedded"
    assert {"cpu", "cores", "memory_gib", "python"} <= told["machine"].keys()
    assert {"river", "numpy"} <= told["versions"].keys()
    assert told["date"].endswith("UTC")


def test_every_row_has_its_ratios_and_runs(told: Any) -> None:
    """The bare loop is 1 by itself, and ours a share of it, in wall and in CPU."""
    bare, ours = told["rows"]

    assert (bare["loop"], ours["loop"]) == ("bare", "ours-embedded-exactly-once")
    assert bare["wall"] == bare["cpu"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert 0 < ours["wall"]["median"] < 1
    assert 0 < ours["cpu"]["median"] < 1
    assert len(ours["runs"]) == told["rounds"] == 1
    assert ours["runs"][0]["ran"]["figures"]["yardsticks_us"][0] > 0


def test_our_predictions_are_the_bare_loops(told: Any) -> None:
    """What was read from the topic afterwards is what the bare loop predicts, each event once."""
    bare, ours = told["rows"]

    assert ours["same_predictions"]
    assert ours["runs"][0]["ran"]["digest"] == bare["runs"][0]["ran"]["digest"] != ""
    assert ours["runs"][0]["ran"]["outputs_n"] == 2000


def test_a_digest_notices_one_bit_and_no_order() -> None:
    """Other numbers give another digest, the same ones in another order do not."""
    told = [Predicted("a", True, 0.75), Predicted("b", None, 0.0)]
    other = [Predicted("a", True, 0.7500000000000001), Predicted("b", None, 0.0)]

    assert digest.digest(told) == digest.digest(reversed(told))
    assert digest.digest(told) != digest.digest(other)
    assert digest.digest(told) != digest.digest([*told, told[0]])


def test_both_shapes_of_published_predictions_are_read() -> None:
    """Ours (CONTRACT 4) and the other loops' say the same."""
    ours = (
        b'{"v":1,"id":"a","partition":0,"offset":0,"prediction":true,'
        b'"probabilities":{"false":0.25,"true":0.75},"label":true,"learned":0}'
    )
    theirs = b'{"id": "a", "p": 0.75, "prediction": true, "label": true, "drift": false}'

    assert digest.read([ours]) == digest.read([theirs]) == [Predicted("a", True, 0.75)]


def test_a_peers_name_stands_for_all_that_begin_with_it() -> None:
    """Whole words only; an unknown one is refused with what there is."""
    names = [loop.name for loop in loops.chosen(["quix", "confluent-expert"])]

    assert names == [
        "confluent-expert",
        "confluent-expert-exactly-once",
        "confluent-expert-group-commit",
        "quix-at-least-once",
        "quix-exactly-once",
        "quix-counters-in-state",
        "quix-model-in-state",
    ]
    with pytest.raises(ValueError, match="no peer is called qui; there are: confluent-naive"):
        loops.chosen(["qui"])


@pytest.mark.parametrize("loop", loops.PEERS, ids=lambda loop: loop.name)
def test_every_peers_version_is_pinned(loop: loops.Loop) -> None:
    """What is measured has one version, and the same river as the bare loop."""
    pinned = environments.versions(loop.environment, (*loop.packages, "river"))

    assert all(pinned[package] for package in loop.packages)
    assert pinned["river"] == environments.versions(None, ("river",))["river"]


def test_a_table_replaces_only_what_stands_between_its_markers(tmp_path: Path) -> None:
    """The rest of the page is by hand; a page without the markers is refused."""
    written = tmp_path / "page.md"
    written.write_text("before\n<!-- bench peers: begin -->old<!-- bench peers: end -->\nafter\n")

    page.put("peers", "| new |", written)

    assert written.read_text() == (
        "before\n<!-- bench peers: begin -->\n\n| new |\n\n<!-- bench peers: end -->\nafter\n"
    )
    with pytest.raises(ValueError, match="no markers for growth"):
        page.put("growth", "", written)
