"""`stream check` from outside, on the embedded log."""

import pytest

from stream.core.event import ALWAYS, Channel
from tests.commands.project import EMBEDDED, MODEL, Done, Project, closed_port, unreachable


def problems(done: Done) -> list[str]:
    """The problems of a check, which ended as it must with any."""
    assert done.code == 78, done
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert all(line.startswith("problem ") for line in lines), lines
    return [line.removeprefix("problem ") for line in lines]


def test_a_sound_pipeline_is_ok(worked: Project) -> None:
    """0, every line says ok, and nothing is changed by looking."""
    before = worked.records(Channel.PREDICTIONS)

    done = worked.stream("check")

    assert (done.code, done.err) == (0, ""), done
    assert {line.split()[0] for line in done.out.splitlines()} == {"ok"}
    for looked_at in ("configuration", "model", "snapshots", "log", "permissions", "state"):
        assert f"ok {looked_at}: " in done.out
    assert worked.records(Channel.PREDICTIONS) == before


def test_before_the_first_start_missing_topics_are_a_note(project: Project) -> None:
    """A worker makes them; the model is tried with a made-up event."""
    done = project.stream("check")

    assert done.code == 0, done
    assert done.out.count("note topics.") == 4
    assert "ok model: predicts and learns a made-up event" in done.out


def test_missing_topics_are_problems_if_nobody_makes_them(project: Project) -> None:
    """With topics.create = false, each of the four."""
    project.configure(EMBEDDED + MODEL + "[topics]\ncreate = false\n")

    found = problems(project.stream("check"))

    assert len(found) == 4
    assert all("set topics.create = true" in line for line in found)


def test_three_mistakes_in_a_configuration_are_told_at_once(project: Project) -> None:
    """Each with its key."""
    project.configure(
        EMBEDDED + '[model]\nfactory = "nothing"\n[delivery]\nguarantee = "maybe"\n'
        "commit_interval = 5\n"
    )

    found = problems(project.stream("check"))

    keys = [line.split(":")[0] for line in found]
    assert sorted(keys) == [
        "delivery.commit_interval", "delivery.guarantee", "model.factory",
    ]  # fmt: skip


def test_a_broken_configuration_does_not_hide_a_broken_model(project: Project) -> None:
    """Both are told at once, and not the model only after the rest was mended."""
    project.write("mine.py", "from river import forest\nmake = forest.ARFClassifier\n")
    project.configure(
        EMBEDDED + '[model]\nfactory = "mine:make"\n[delivery]\nguarantee = "maybe"\n'
    )

    guarantee, seed = problems(project.stream("check", timeout_s=180))

    assert guarantee.startswith("delivery.guarantee: ")
    assert seed.startswith("model.params: ARFClassifier.seed is None")


def test_a_model_that_cannot_be_read_back_is_a_problem(project: Project) -> None:
    """What a snapshot may not name, no worker could go on from."""
    project.write(
        "mine.py",
        "import logging\nfrom river import linear_model\n"
        "class Model(linear_model.LogisticRegression):\n"
        "    def learn_one(self, x, y):\n"
        "        super().learn_one(x, y)\n"
        "        self.last = logging.LogRecord('a', 1, 'b', 2, 'c', (), None)\n",
    )
    project.configure(EMBEDDED + '[model]\nfactory = "mine:Model"\n')

    (found,) = problems(project.stream("check", timeout_s=180))

    assert "could not be restored from a snapshot of it: it names logging.LogRecord" in found


def test_unreachable_servers_and_a_bad_model_are_told_at_once(project: Project) -> None:
    """Both servers, with addresses, and the model; 78 as the contract says."""
    kafka, redis = closed_port(), closed_port()
    project.configure(
        unreachable(kafka) + f'[redis]\nurl = "redis://127.0.0.1:{redis}/0"\n'
        '[model]\nfactory = "stream.models:logistic"\n'
    )

    model, store, log = problems(project.stream("check"))

    assert model.startswith('model.factory: "stream.models" has no callable "logistic"')
    assert str(redis) in store
    assert str(kafka) in log


UNPICKLABLE = (
    "from river import compose, linear_model as lm\n"
    "make = lambda: compose.FuncTransformer(lambda x: x) | lm.LogisticRegression()\n"
)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("from river import forest\nmake = forest.ARFClassifier\n", "set a seed"),
        (UNPICKLABLE, "cannot be pickled"),
        ("def make():\n    raise RuntimeError('no')\n", "raised RuntimeError: no"),
        ("def make():\n    raise SystemExit(0)\n", "raised SystemExit: 0"),
        ("def make():\n    return 3\n", "gave a int, not a river estimator"),
    ],
)
def test_a_model_that_cannot_be_folded_is_a_problem(
    project: Project, source: str, problem: str
) -> None:
    """Unseeded, unpicklable, raising, or no model at all."""
    project.write("mine.py", source)
    project.configure(EMBEDDED + '[model]\nfactory = "mine:make"\n')

    (found,) = problems(project.stream("check"))

    assert problem in found


def test_a_model_that_raises_on_the_first_event_is_a_problem(project: Project) -> None:
    """It is tried with what is really in the log."""
    project.write_csv("events.csv", ("word", "label"), [("hello", "true")])
    assert project.stream("produce", "events.csv").code == 0
    project.write(
        "mine.py",
        "from river import linear_model, preprocessing\ndef make():\n"
        "    return preprocessing.StandardScaler() | linear_model.LogisticRegression()\n",
    )
    project.configure(EMBEDDED + '[model]\nfactory = "mine:make"\n')

    (found,) = problems(project.stream("check"))

    assert found.startswith("model: mine:make raised ")
    assert "features word" in found


VARIANCE = """
from river import base, stats
class Model(base.Regressor):
    def __init__(self):
        self.seen = stats.Var()
    def learn_one(self, x, y):
        self.seen.update(x["x"])
    def predict_one(self, x):
        return %s
"""


@pytest.mark.parametrize(
    ("answer", "code"),
    [('x["x"] / self.seen.get() if self.seen.get() else float("nan")', 0), ('float("nan")', 78)],
)
def test_a_model_without_an_answer_to_the_first_events_is_sound(
    project: Project, answer: str, code: int
) -> None:
    """As scikit-learn's GaussianNB: of one event it knows no variance, however often it is told."""
    project.write("mine.py", VARIANCE % answer)
    project.configure(EMBEDDED + '[model]\nfactory = "mine:Model"\n')
    project.write_csv("events.csv", ("x", "label"), [(n % 7, n) for n in range(30)])
    assert project.stream("produce", "events.csv").code == 0

    done = project.stream("check")

    assert done.code == code, done
    share = "2 (6.7 %)" if code == 0 else "all"
    assert done.said(f"note model: no answer to {share} of the first 30 events (the prediction is")
    assert done.said("such events would be quarantined") == (code == 78)


def test_a_configuration_that_no_event_fits_is_a_problem(project: Project) -> None:
    """All of the first events would be quarantined; it says why, and what to set."""
    project.write("events.jsonl", '{"x": 1, "y": true}\n' * 3)
    assert project.stream("produce", "events.jsonl").code == 0

    (found,) = problems(project.stream("check", timeout_s=180))

    assert found.startswith("events: all of the first 3 would be refused as unknown_field (")
    assert 'set events.extra = "ignore"' in found


def test_labels_that_are_refused_are_not_said_to_be_missing(project: Project) -> None:
    """0 and 1 without `positive`: what is left has no label, and yet the field is the right one."""
    labels = ["0", "1", "null"]
    lines = [f'{{"features": {{"x": {n}}}, "label": {labels[n % 3]}}}\n' for n in range(90)]
    project.write("events.jsonl", "".join(lines))
    assert project.stream("produce", "events.jsonl").code == 0

    done = project.stream("check", timeout_s=180)

    assert done.code == 78, done
    assert "would be refused as bad_label" in done.err
    assert "events.positive" in done.err
    assert "nothing is ever learned" not in done.out + done.err


def test_a_few_bad_records_are_a_note(project: Project) -> None:
    """Up to a tenth is what a stream brings."""
    good = '{"features": {"x": 1.5}, "label": true}\n'
    project.write("events.jsonl", good * 19 + '{"features": {"x": 1.5}, "label": 1}\n')
    assert project.stream("produce", "events.jsonl").code == 0

    done = project.stream("check", timeout_s=180)

    assert done.code == 0, done
    assert "note events: 1 (5.0 %) of the first 20 would be refused as bad_label" in done.out
    assert "ok events: all of the first 19 have a label" in done.out


@pytest.mark.parametrize(("on_change", "is_problem"), [("refuse", True), ("rebuild", False)])
def test_a_changed_recipe_is_told(worked: Project, on_change: str, is_problem: bool) -> None:
    """What changed; a problem if the configuration does not say what to do."""
    model = MODEL + f'params = {{ l2 = 0.5 }}\non_change = "{on_change}"\n'
    worked.configure(EMBEDDED + model)

    done = worked.stream("check")

    assert done.code == (78 if is_problem else 0), done
    assert "the one that was committed (model.params.l2: unset -> 0.5)" in (
        done.err if is_problem else done.out
    )


def test_a_short_log_needs_its_snapshots(worked: Project) -> None:
    """A note while one reaches back to the log's start, a problem without."""
    assert worked.sql("UPDATE partitions SET start_offset = 400 WHERE topic = 'commands.events'")
    with_them = worked.stream("check")
    assert worked.sql("DELETE FROM snapshots WHERE next_offset = 600") == 1
    without = worked.stream("check")

    assert with_them.code == 0, with_them
    assert "the log starts at 400: only the snapshots (newest at 600)" in with_them.out
    (found,) = problems(without)
    assert "and no snapshot can be used instead" in found


def test_a_log_that_ends_before_the_committed_offset_is_a_problem(worked: Project) -> None:
    """Truncated, or made again."""
    assert worked.sql("UPDATE partitions SET end_offset = 500 WHERE topic = 'commands.events'")

    (found,) = problems(worked.stream("check"))

    assert "offset 600 was committed, the log ends at 500" in found


def test_old_events_under_a_short_retention_are_a_problem(project: Project) -> None:
    """Their timestamps decide: in all four topics they would be deleted at once."""
    project.configure(EMBEDDED + MODEL + "[topics]\nretention_ms = 3600000\n")
    project.write_csv("events.csv", ("at", "x", "label"), [("2020-01-01", 1, "true")])
    assert project.stream("produce", "events.csv", "--time", "at").code == 0

    found = problems(project.stream("check"))

    assert [line.split(":")[0] for line in found] == [f"topics.{channel}" for channel in ALWAYS]
    assert all("keeps records for 1 h 0 min" in line for line in found)
    assert all("2020-01-01T00:00:00" in line for line in found)


@pytest.mark.parametrize("content", [b"pipeline = p\n", 'pipeline = "\u00e9"\n'.encode("latin-1")])
def test_a_file_that_cannot_be_read_is_told_once(project: Project, content: bytes) -> None:
    """Broken TOML, or no UTF-8: one problem, one line."""
    project.write("bad.toml", content)

    (found,) = problems(project.bare("check", "-c", "bad.toml"))

    assert found.startswith("bad.toml: is not ")


def test_a_folder_as_the_log_s_file_is_called_a_folder(project: Project) -> None:
    """Not a file that cannot be opened; by every command."""
    (project.folder / "data").mkdir()
    project.configure('[kafka]\nclient = "embedded"\npath = "data"\n' + MODEL)
    told = "kafka.path: data is a folder; name a file in it"

    for done in (project.stream("check"), project.stream("status"), project.stream("run")):
        assert done.code == 78, done
        assert told in done.err


def test_a_typo_in_the_factory_s_name_is_told_with_the_nearest(project: Project) -> None:
    """And what is listed beside it are models, not what their module imports."""
    factory = "stream.models:logistic_regresion"
    project.configure(EMBEDDED + f'[model]\nfactory = "{factory}"\n')

    (found,) = problems(project.stream("check"))

    assert 'did you mean "logistic_regression"? it has logistic_regression, softmax_' in found
    assert not {"Any", "Callable", "Mapping", "catalogue"} & set(found.replace(",", "").split())


def test_a_port_that_cannot_be_is_refused_at_once(project: Project) -> None:
    """By the configuration; no command waits ten seconds for it."""
    project.configure('[kafka]\nbootstrap_servers = "127.0.0.1:99999"\n' + MODEL)

    for words in (("check",), ("status",), ("run",)):
        done = project.stream(*words)

        assert done.code == 78, done
        (line,) = done.err.splitlines()
        assert "kafka.bootstrap_servers: " in line
        assert "the port 99999 cannot be" in line
