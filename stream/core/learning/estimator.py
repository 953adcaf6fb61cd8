"""A river estimator as the fold uses it: what it can do is found once, at the start."""

import difflib
import importlib
import operator
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from river import active, base, model_selection

from stream.core.event import Feature, Kind
from stream.core.formats.checks import in_words
from stream.core.learning.answers import answering, is_of_sklearn, last_step
from stream.core.learning.purity import OnOwnCopy, is_pure
from stream.core.problems import PROBLEMS
from stream.core.recipe import itself
from stream.core.result import Prediction
from stream.core.snapshots import pickling
from stream.core.spec import ModelSpec
from stream.core.stand_in import plain
from stream.errors import Misconfigured

_PACKAGES = {"sklearn": "scikit-learn", "yaml": "pyyaml", "cv2": "opencv-python"}
"""What is installed under another name than it is imported by."""

Learn = Callable[[dict[str, Feature], Any], None]

_LISTED_N = 30
"""So many callables of a module a message names."""

_TRIAL_EVENTS_N = 20
"""So many events a model may want to learn before it answers at all."""


def build(spec: ModelSpec) -> base.Estimator:
    """Make the untrained model of a recipe.

    Raises: Misconfigured: no such module or callable, it raised, or it gave no river estimator.
    """
    module_name, _, name = spec.factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, and call `sys.exit`
        way_out = _way_out(error, spec)
        raise Misconfigured(
            f'model.factory: cannot import "{module_name}": {_in_words(error)}; {way_out}'
        ) from error
    try:
        factory = operator.attrgetter(name)(module)
    except AttributeError:
        factory = None
    if not callable(factory):
        raise Misconfigured(
            f'model.factory: "{module_name}" has no callable "{name}"; {_others(module, name)}'
        )
    try:
        model = factory(**spec.params)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever else a factory raises, the configuration is wrong
        call = f"model.factory: {spec.factory}({_arguments(spec.params)})"
        raise Misconfigured(f"{call} raised {_in_words(error)}; {_way_out(error, spec)}") from error
    if not isinstance(model, base.Estimator):
        raise Misconfigured(
            f"model.factory: {spec.factory} gave a {type(model).__name__}, not a river estimator"
        )
    return plain(model)  # type: ignore[no-any-return]  # whoever folds with it quickens it himself


def _others(module: ModuleType, name: str) -> str:
    """Which callables of a module may have been meant by one that it has not.

    What a module only imports is listed nowhere, but may be the nearest name.
    """
    if module.__name__ == "stream.models":
        known = own = list(module.catalogue())
    else:
        known = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        homes = {n: str(getattr(getattr(module, n), "__module__", "")) for n in known}
        inner = f"{module.__name__}."
        own = [n for n in known if f"{homes[n]}.".startswith(inner)]
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(own[:_LISTED_N]) + (", ..." if len(own) > _LISTED_N else "")
    listed = f"it has {listed or 'none of its own'}"
    return f'did you mean "{near[0]}"? {listed}' if near else listed


def kind_of(model: base.Estimator) -> Kind:
    """What a model does. Raises: Misconfigured: nothing that we can fold over a stream."""
    final = last_step(model)
    name = type(final).__name__
    if isinstance(final, base.AnomalyFilter):  # as the last step it scores as what it wraps does
        return kind_of(final._wrapped_model)  # noqa: SLF001  # river's own way to look inside
    if isinstance(final, base.SupervisedAnomalyDetector):
        raise Misconfigured(
            f"model.factory: {name} needs the label to score; use an unsupervised anomaly "
            "detector, or a regressor"
        )
    if isinstance(final, active.base.ActiveLearningClassifier):
        raise Misconfigured(
            f"model.factory: {name} asks for labels, and nobody here could answer; use the "
            "classifier that it wraps"
        )
    if isinstance(final, base.MultiTargetRegressor | base.MultiLabelClassifier):
        raise Misconfigured(
            f"model.factory: {name} predicts several targets at once, and an event has one label; "
            "use a model of one target, and a pipeline for each of the others"
        )
    if isinstance(final, base.AnomalyDetector):
        return Kind.ANOMALY
    if isinstance(final, base.Classifier):
        return Kind.MULTICLASS if _is_multiclass(final) else Kind.BINARY
    if isinstance(final, base.Regressor):
        return Kind.REGRESSION
    raise Misconfigured(
        f"model.factory: {name} is no classifier, regressor or anomaly detector, nor does a "
        "pipeline end in one"
    )


def _is_multiclass(final: Any) -> bool:
    """Whether a classifier takes other classes than true and false."""
    if isinstance(final, model_selection.base.ModelSelectionClassifier):
        # It says of itself that it knows two classes, whatever the models know that it selects of.
        return all(kind_of(model) is Kind.MULTICLASS for model in final.models)
    if is_of_sklearn(final):
        # River counts its classes; of two that are no bools it would never be told one.
        return not all(isinstance(each, bool) for each in final.classes)
    return bool(final._multiclass)  # noqa: SLF001  # river's tag


class Methods(NamedTuple):
    """What a fold calls for each event; bound to one very model.

    Attributes:
        ask: asks the model, before it learns.
        read: makes of what it answers a prediction. Raises: NoAnswer.
        learn: teaches; an anomaly detector's ignores the label.
    """

    ask: Callable[[dict[str, Feature]], Any]
    read: Callable[[Any], Prediction]
    learn: Learn

    def predict(self, features: dict[str, Feature]) -> Prediction:
        """Ask, and read the answer. Raises: NoAnswer, or whatever the model raises."""
        return self.read(self.ask(features))


def methods_of(model: base.Estimator, kind: Kind) -> Methods:
    """Find a model's methods, once; they may share what they work out of an event."""
    methods = model if is_pure(plain(model)) else OnOwnCopy(model)
    return Methods(*answering(model, methods, kind), _learner(methods, kind))


def _learner(methods: Any, kind: Kind) -> Learn:
    learn_one: Callable[..., None] = methods.learn_one  # river's differ in what they call y
    if not PROBLEMS[kind].is_supervised:
        return lambda features, _label: learn_one(features)
    return learn_one


def trial(
    model: base.Estimator,
    kind: Kind,
    features: dict[str, Feature],
    label: Any,
    *,
    quicken: Callable[[base.Estimator], base.Estimator] = itself,
) -> None:
    """Predict, learn, pickle and predict again on a copy; `model` stays untouched.

    What cannot answer before it has learned, be it several events, is no worse for that.

    Args:
        model: untrained.
        kind: what it does.
        features: those of an event.
        label: its label; None = it has none.
        quicken: see `Recipe`.

    Raises: whatever the model raises, or NoAnswer; `pickle.PicklingError`, AttributeError or
        TypeError for one that cannot be pickled.
    """
    copy = quicken(pickle.loads(pickling.dumps(model)))
    failure = _failure(methods_of(copy, kind), features)
    if label is None and PROBLEMS[kind].is_supervised:
        return
    for _ in range(_TRIAL_EVENTS_N):
        methods_of(copy, kind).learn(dict(features), label)
        copy = quicken(pickle.loads(pickling.dumps(copy)))
        failure = _failure(methods_of(copy, kind), features)
        if failure is None:
            return
    assert failure is not None  # noqa: S101  # the last one
    raise failure


def _failure(methods: Methods, features: dict[str, Feature]) -> BaseException | None:
    """What a model raises when it predicts; None: nothing."""
    try:
        methods.predict(dict(features))
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as raised:  # noqa: BLE001  # a panic of Rust is no Exception
        return raised
    return None


def _way_out(error: BaseException, spec: ModelSpec) -> str:
    """Say what to do about an exception of a factory, or of its module."""
    module = spec.factory.partition(":")[0]
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name.partition(".")[0]
        if f"{module}.".startswith(f"{error.name}."):
            return f"put {missing}.py beside the configuration, or install the package {missing}"
        package = _PACKAGES.get(missing, missing)
        return f"install it where the worker runs (pip install {package})"
    if isinstance(error, FileNotFoundError):
        return "put the file there, or name another"
    if isinstance(error, TypeError) and spec.params and _is_of_the_call(error):
        return "mend model.params"
    if _is_of_the_call(error):
        return "write what it needs into model.params"
    return f"mend model.params, or {module}"


def _is_of_the_call(error: BaseException) -> bool:
    """Whether it was raised by calling the factory, before any code of it ran."""
    trace = error.__traceback__
    return isinstance(error, TypeError) and trace is not None and trace.tb_next is None


def _arguments(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items())


def _in_words(error: BaseException) -> str:
    """Write an exception on one line."""
    return " ".join(in_words(error).split())
