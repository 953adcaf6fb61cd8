"""What the demo concludes of labels that come late: its plain loop, and its comparison."""

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from stream.demo.late_loop import main
from stream.demo.late_verdict import LateVerdict, judge_late, name_of, order_of
from stream.demo.plain_loop import NUMBERS, WORDS
from stream.models import logistic_regression

N, BEHIND = 12, 4
DELAYS_S = [86_400 + 60 * i for i in range(N)]
MODEL = "stream.models:logistic_regression"


class Sent:
    """What a worker publishes of a dozen flights, each label four flights after its own."""

    def __init__(self) -> None:
        chance = random.Random(8)
        self.features = [
            {name: chance.randrange(100) for name in NUMBERS}
            | {name: chance.choice("ab") for name in WORDS}
            for _ in range(N)
        ]
        self.late = [chance.random() < 0.5 for _ in range(N)]
        self.predictions: list[dict[str, Any]] = []
        self.outcomes: list[dict[str, Any]] = []
        model, n = logistic_regression(), 0
        for flight in range(N + BEHIND):
            if flight < N:
                answer = {
                    "id": name_of(flight),
                    "offset": flight,
                    "prediction": model.predict_one(self.features[flight]),
                    "probabilities": model.predict_proba_one(self.features[flight]),
                }
                self.predictions.append(answer | {"learned": len(self.outcomes)})
                n += 1
            if (told := flight - BEHIND) >= 0:
                answer = {k: v for k, v in self.predictions[told].items() if k != "learned"}
                self.outcomes.append(answer | {
                    "kind": "labeled", "n": n, "label_offset": told, "label": self.late[told],
                    "learned": told, "delay_ms": 1_000 * DELAYS_S[told],
                })  # fmt: skip
                model.learn_one(self.features[told], self.late[told])
                n += 1

    def judged(self, folder: Path, *, committed: int = N) -> LateVerdict:
        """The verdict on what was published, beside the plain loop's run on the file."""
        path, order, out = folder / "f.csv.gz", folder / "order.json", folder / "out.jsonl"
        with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*NUMBERS, *WORDS, "late"])
            for features, late in zip(self.features, self.late, strict=True):
                writer.writerow([*features.values(), str(late).lower()])
        outcomes = [json.dumps(each).encode() for each in self.outcomes]
        order.write_text(json.dumps(order_of(outcomes)))
        main([str(path), MODEL, "{}", str(order), str(out)])
        return judge_late(
            [json.dumps(each).encode() for each in self.predictions], outcomes,
            delays_s=DELAYS_S, committed=committed, expected=out.read_text().splitlines(),
        )  # fmt: skip


def test_a_worker_without_fault_is_exact(tmp_path: Path) -> None:
    """Labels change what is predicted; and the loop, told the order, predicts the same."""
    sent = Sent()

    verdict = sent.judged(tmp_path)

    assert verdict.exact, verdict
    assert (verdict.labels_n, verdict.outcomes_n, verdict.committed) == (N, N, N)
    assert verdict.delay_h == pytest.approx(24 + 5.5 / 60)
    said = [each["probabilities"] for each in sent.predictions]
    assert said[BEHIND] != said[BEHIND + 1]


@pytest.mark.parametrize(
    "change",
    [
        {"prediction": None},
        {"probabilities": {"false": 0.3, "true": 0.7}},
        {"learned": 3},
        {"offset": 2},
        {"id": "f2"},
    ],
)
def test_a_changed_prediction_is_seen(tmp_path: Path, change: dict[str, Any]) -> None:
    """Its answer, its place, or how much was learned before it."""
    sent = Sent()
    sent.predictions[8] |= change

    verdict = sent.judged(tmp_path)

    assert verdict.different_n == 1
    assert not verdict.exact


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "early"},
        {"kind": "repeated"},
        {"prediction": None},
        {"label": None},
        {"learned": 2},
        {"delay_ms": 1},
        {"label_offset": 2},
        {"offset": 2},
    ],
)
def test_a_changed_outcome_is_seen(tmp_path: Path, change: dict[str, Any]) -> None:
    """What became of a label, which flight it is of, or what it says of it."""
    sent = Sent()
    sent.outcomes[3] |= change

    verdict = sent.judged(tmp_path)

    assert verdict.odd_n >= 1
    assert not verdict.exact


def test_a_label_that_is_learned_at_another_step_is_seen(tmp_path: Path) -> None:
    """The loop is told a step too early: what was predicted then is not what it predicts."""
    sent = Sent()
    for each in sent.outcomes[:4]:
        each["n"] -= 1

    assert sent.judged(tmp_path).different_n >= 1


def test_what_is_missing_or_there_twice_is_seen(tmp_path: Path) -> None:
    """Of predictions and of outcomes; and an end that is not committed."""
    for published in ("predictions", "outcomes"):
        sent = Sent()
        getattr(sent, published).pop()
        assert not sent.judged(tmp_path).exact
        sent = Sent()
        getattr(sent, published).append(getattr(sent, published)[-1])
        assert not sent.judged(tmp_path).exact
    assert not Sent().judged(tmp_path, committed=N - 1).exact
