"""The bench itself: that its figures are whole, and that it would notice a loop that cheats."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.instruments.bench import digest, environments, growth, loops, page
from tests.instruments.bench.__main__ import MODES
from tests.instruments.bench.digest import Predicted
from tests.instruments.bench.loops import BARE
from tests.instruments.bench.meter import Figures
from tests.instruments.bench.peers.growing import Window
from tests.instruments.bench.rounds import Row, Spread, compare, judge
from tests.instruments.bench.stage import REPOSITORY, Ran


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The JSON of a tiny run without a server."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    arguments = ["--kafka", "embedded", "--client", "embedded", "--events", "2000"]
    command = [sys.executable, "-m", "tests.instruments.bench", *arguments, "--rounds", "1"]
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
    """The bare loop is 1 by itself, and ours has its ratio to it, in wall and in CPU."""
    bare, ours = told["rows"]

    assert (bare["loop"], ours["loop"]) == ("bare", "ours-embedded-exactly-once")
    assert bare["wall"] == bare["cpu"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    # Of 2,000 events, beside other tests: by how much is not asked here.
    assert ours["wall"]["median"] > 0
    assert ours["cpu"]["median"] > 0
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
    """Ours and the other loops' say the same."""
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


def test_an_unknown_word_is_a_usage_error() -> None:
    """One line that says what there is, before anything is started."""
    for arguments in (["--peers", "qui"], ["--client", "librdkafka"]):
        done = subprocess.run(
            [sys.executable, "-m", "tests.instruments.bench", *arguments],
            cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

        assert done.returncode == 2
        assert "confluent" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("loop", loops.PEERS, ids=lambda loop: loop.name)
def test_every_peers_version_is_pinned(loop: loops.Loop) -> None:
    """What is measured has one version, and the same river as the bare loop."""
    pinned = environments.versions(loop.environment, (*loop.packages, "river"))

    assert all(pinned[package] for package in loop.packages)
    assert pinned["river"] == environments.versions(None, ("river",))["river"]


@pytest.mark.parametrize("section", ["peers", *MODES])
def test_every_measurement_has_its_place_on_the_page(section: str) -> None:
    """docs/performance.md has the markers, and says which command writes between them."""
    shown = page.PAGE.read_text()

    assert f"<!-- bench {section}: begin -->" in shown
    assert f"<!-- bench {section}: end -->" in shown
    assert f"`scripts/bench --{section}" in shown


def _ran(*, wall_s: float, cpu_s: float, yardstick_us: float) -> Ran:
    yardsticks = (yardstick_us, yardstick_us * 1.5)  # the second met a slow moment
    figures = Figures(wall_s=wall_s, cpu_s=cpu_s, waited_s=0, yardsticks_us=yardsticks)
    return Ran(figures=figures, digest="", outputs_n=0)


def _row(*runs: Ran) -> Row:
    bare = _ran(wall_s=1.0, cpu_s=1.0, yardstick_us=15)
    row = Row(loop=BARE, model="lr", events_n=1, expected="")
    row.measured += [compare(run, bare) for run in runs]
    judge([row])
    return row


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    """Half as fast by the yardstick, a loop that takes twice as long is as good as before."""
    row = _row(
        _ran(wall_s=2.0, cpu_s=4.0, yardstick_us=15), _ran(wall_s=4.0, cpu_s=8.0, yardstick_us=30)
    )

    assert row.is_scaled
    assert row.wall == Spread(median=0.5, min=0.5, max=0.5)
    assert row.cpu == Spread(median=0.25, min=0.25, max=0.25)


def test_a_yardstick_that_met_another_speed_than_the_runs_is_left_out() -> None:
    """On a machine that changes its speed within a second it would add noise; so would one run."""
    row = _row(
        _ran(wall_s=2.0, cpu_s=4.0, yardstick_us=15), _ran(wall_s=2.1, cpu_s=4.0, yardstick_us=30)
    )

    assert not row.is_scaled
    assert row.wall.max == 0.5
    assert row.cpu == Spread(median=0.25, min=0.25, max=0.25)
    assert not _row(_ran(wall_s=2.0, cpu_s=4.0, yardstick_us=30)).is_scaled


def _window(end: int, *, cpu_us: float, rss_mib: float) -> Window:
    return Window(
        end=end, events_n=100_000, wall_s=0, cpu_s=9, calm_us=cpu_us, rss_mib=rss_mib,
        yardsticks_us=(15, 15),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cpu_us", "rss_mib", "held"), [(31, 170, True), (32, 150, False), (30, 171, False)]
)
def test_growth_is_refused_past_its_limits(cpu_us: float, rss_mib: float, held: bool) -> None:
    """The last window may cost a twentieth more than the first, and have 20 MiB more."""
    windows = [
        _window(100_000, cpu_us=30, rss_mib=150),
        _window(200_000, cpu_us=cpu_us, rss_mib=rss_mib),
    ]

    assert growth.assess(windows, large=100_000)["held"] is held


def test_growth_cuts_at_powers_of_ten_and_at_tenths() -> None:
    """Ten million events: from 10^4, and each million."""
    marks = growth.marks(10_000_000)

    assert marks[:4] == [10_000, 100_000, 1_000_000, 2_000_000]
    assert marks[-1] == 9_000_000


def test_growth_accounts_for_every_event(tmp_path: Path) -> None:
    """A tiny run: its windows hold all events, each with the memory at its end."""
    path = tmp_path / "growth.json"
    command = [sys.executable, "-m", "tests.instruments.bench", "--growth", "--events", "20000"]
    subprocess.run(
        [*command, "--json", str(path)], cwd=REPOSITORY, check=False, timeout=240
    )  # its limits are for a quiet machine

    told = json.loads(path.read_text())

    assert told["section"] == "growth"
    assert sum(window["events_n"] for window in told["windows"]) == 20_000
    assert all(window["rss_mib"] > 0 for window in told["windows"])


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
