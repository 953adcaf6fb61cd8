"""Models of a user's that raise: when they are asked or taught, before or after they changed."""

from contextlib import suppress
from typing import Any

from river import anomaly, base, compose, forest, linear_model, preprocessing


class Careful(base.Transformer):
    """Without a state; raises on what it does not like."""

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features."""
        if "bad" in x:
            raise ValueError("it does not like this")
        return x


class Counting(Careful):
    """Counts what it learns."""

    def __init__(self) -> None:
        self.n = 0

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Count."""
        del x
        self.n += 1

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features, and the count."""
        return super().transform_one(x) | {"n": self.n % 7}


class Toggling(Careful):
    """Is another one each second time that it is asked."""

    def __init__(self) -> None:
        self.is_on = False

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features, and how it is."""
        self.is_on = not self.is_on
        return super().transform_one(x) | {"on": self.is_on}


class Heavy(Careful):
    """Has more than can be looked at before each event."""

    def __init__(self) -> None:
        self.ballast = list(range(50_000))


def parse(x: dict[Any, Any]) -> dict[Any, Any]:
    """A function of a user's."""
    if "bad" in x:
        raise ValueError("it cannot be parsed")
    return x


def trees() -> forest.ARFClassifier:
    """Two small ones."""
    return forest.ARFClassifier(n_models=2, seed=1, grace_period=20)


def careful() -> compose.Pipeline:
    """A user's transformer before a forest."""
    return Careful() | trees()


def parsing() -> compose.Pipeline:
    """A user's function before a forest."""
    return compose.FuncTransformer(parse) | trees()


def counting() -> compose.Pipeline:
    """What learns before a forest."""
    return preprocessing.StandardScaler() | Counting() | trees()


def counting_alone() -> compose.Pipeline:
    """The same without river's scaler."""
    return Counting() | trees()


def toggling() -> compose.Pipeline:
    """What asking changes before a forest."""
    return Toggling() | trees()


def heavy() -> compose.Pipeline:
    """What is too large to be looked at."""
    return Heavy() | trees()


def in_a_union() -> compose.Pipeline:
    """Beside a scaler."""
    return (preprocessing.StandardScaler() + Counting()) | linear_model.LogisticRegression()


class Forgetful(Counting):
    """Raises when it learns, and has counted already."""

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Count."""
        super().learn_one(x)
        if "bad" in x:
            raise ValueError("it does not learn this")

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features, and the count."""
        return {name: x[name] for name in ("a", "b")} | {"n": self.n % 7}


class Around(base.Wrapper[base.Classifier], base.Classifier):
    """Raises before it teaches what it is around, and has changed something of its own."""

    def __init__(self, model: base.Classifier) -> None:
        self.model = model
        self.n = 0

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.model

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Of the features that all have."""
        return self.model.predict_proba_one({"a": x["a"], "n": self.n % 5})

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """What it is around does."""
        self.n += 1
        self._check(x)
        self.model.learn_one({"a": x["a"], "n": self.n % 5}, y)

    def _check(self, x: dict[Any, Any]) -> None:
        if "bad" in x:
            raise ValueError("it does not teach this")


class After(Around):
    """Raises when it has taught it."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """What it is around does."""
        self.n += 1
        self.model.learn_one({"a": x["a"], "n": self.n % 5}, y)
        self._check(x)


class Swallowing(Around):
    """Raises when it has taught it, and hides what went wrong in it."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """What it is around does."""
        with suppress(BaseException):
            self.model.learn_one({"a": x["a"]}, y)
        self._check(x)


class Deciding(Around):
    """Asks what it is around whether to teach it before it raises."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """What it is around does."""
        if self.model.predict_one({"a": x["a"]}) != y:
            self.model.learn_one({"a": x["a"], "n": 1}, y)
        self._check(x)


class Reaching(Around):
    """Writes into what it is around."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """A setting changes with each event."""
        self.model.data[0].grace_period += 1  # type: ignore[attr-defined]
        super().learn_one(x, y)


class Sharing(Around):
    """Holds something from inside what it is around."""

    def __init__(self, model: base.Classifier) -> None:
        super().__init__(model)
        self.first: Any = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """One tree of the forest is looked at from outside, too."""
        super().learn_one(x, y)
        self.first = self.model.data[0]._root  # type: ignore[attr-defined]


def forgetful() -> compose.Pipeline:
    """What raises when it learns, between a scaler and a forest."""
    return preprocessing.StandardScaler() | Forgetful() | trees()


def forgetful_first() -> compose.Pipeline:
    """The same before a linear model with its scaler."""
    scaled = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return Forgetful() | scaled


def forgetful_before_scores() -> compose.Pipeline:
    """The same before a detector of anomalies."""
    return Forgetful() | preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=2, height=3)


def around() -> Around:
    """Somebody's class around a forest."""
    return Around(trees())


def after() -> Around:
    """See `After`."""
    return After(trees())


def swallowing() -> Around:
    """See `Swallowing`."""
    return Swallowing(trees())


def deciding() -> Around:
    """See `Deciding`."""
    return Deciding(trees())


def reaching() -> Around:
    """See `Reaching`."""
    return Reaching(trees())


def sharing() -> Around:
    """See `Sharing`."""
    return Sharing(trees())


TAUGHT = (
    forgetful, forgetful_first, forgetful_before_scores, around, after, swallowing, deciding,
    reaching, sharing,
)  # fmt: skip
MODELS = (
    careful, parsing, counting, counting_alone, toggling, heavy, in_a_union, *TAUGHT,
)  # fmt: skip
