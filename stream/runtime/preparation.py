"""From settings to what a worker folds with. Loads river, which takes about a second."""

import inspect
import operator
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from river import base

from stream.config import Settings
from stream.core import seeds
from stream.core.event import Kind
from stream.core.fold.state import beginning
from stream.core.learning import estimator
from stream.core.learning.answers import last_step
from stream.core.monitoring import detector_choice
from stream.core.problems import PROBLEMS
from stream.core.recipe import Recipe, source_digest, versions
from stream.core.snapshots import pickling, unpickling
from stream.core.spec import ModelSpec, without_defaults
from stream.errors import Misconfigured
from stream.models import fast
from stream.runtime.reference import parts_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe, and what was found out while it was written down.

    Attributes:
        model: untrained; nobody folds with this very one.
    """

    recipe: Recipe
    model: base.Estimator
    kind: Kind

    @property
    def path(self) -> str:
        """How the fold calls the model: in a quicker way than river's own, or why not."""
        return fast.path(self.model)


def make_recipe(settings: Settings) -> Recipe:
    """See `prepare`."""
    return prepare(settings).recipe


def prepare(settings: Settings) -> Prepared:
    """Build the model once, refuse what could not be repeated, and write down the recipe.

    Raises: Misconfigured: no such factory, unseeded, or a detector that its signal cannot feed.
    """
    spec = settings.model.core()
    model, kind, problems = _built(spec, settings.folder)
    specs = settings.detectors
    if specs is None:
        specs = detector_choice.default_specs(kind, is_quiet=settings.alerts.policy == "quiet")
    else:
        problems += detector_choice.problems(specs, kind)
    problems += _label_problems(settings, kind)
    if settings.events.weight is not None and not takes_weights(model):
        problems.append(
            f"events.weight: {type(last_step(model)).__name__} learns without weights (its "
            "learn_one has no `w`); remove events.weight, or take a model that has"
        )
    if problems:
        raise Misconfigured(*problems)
    recipe = Recipe(
        pipeline=settings.pipeline,
        events_topic=settings.topics.events,
        model=replace(spec, params=without_defaults(spec.params, _factory(spec))),
        detectors=tuple(specs),
        shape=settings.events.core(),
        limits=settings.limits.core(),
        hash_seed=settings.effective_hash_seed,
        source=_source(spec.factory.partition(":")[0]),
        versions=versions(has_sklearn=_has_sklearn(model)),
        extras=parts_of(settings, kind),
        quicken=fast.quick,
    )
    beginning(recipe, recipe.fingerprint())  # what no snapshot brings back is refused here
    return Prepared(recipe, model, kind)


def model_problems(spec: ModelSpec, folder: Path) -> list[str]:
    """List what is wrong with a model itself. Raises: Misconfigured: it cannot be built."""
    return _built(spec, folder)[2]


def _built(spec: ModelSpec, folder: Path) -> tuple[base.Estimator, Kind, list[str]]:
    """The model, what it does, and the seeds that it was not given. Raises: Misconfigured."""
    make_importable(folder)
    model = estimator.build(spec)
    problems = [
        f"model.params: {where} is None, so two replays would differ; set a seed (for example "
        f"model.params.{where.rpartition('.')[2]} = 42, handed on by {spec.factory})"
        for where in seeds.unseeded(model)
    ]
    return model, estimator.kind_of(model), problems


def takes_weights(model: base.Estimator) -> bool:
    """Whether a model can be told what an event is worth to learn."""
    return "w" in inspect.signature(last_step(model).learn_one).parameters


def _label_problems(settings: Settings, kind: Kind) -> list[str]:
    """List why a model of this kind has no use for labels that come later."""
    if settings.labels is None:
        return []
    if not PROBLEMS[kind].is_supervised:
        return ["labels: an anomaly detector learns without labels; remove [labels]"]
    if settings.labels.on_expiry == "negative" and kind is Kind.REGRESSION:
        return ['labels.on_expiry: a regressor knows no false; write "drop"']
    return []


def _factory(spec: ModelSpec) -> Callable[..., object]:
    """What a model was built by just now."""
    module, _, name = spec.factory.partition(":")
    found: Callable[..., object] = operator.attrgetter(name)(sys.modules[module])
    return found


def _has_sklearn(model: base.Estimator) -> bool:
    """Whether its state names something of scikit-learn's; what can't be pickled names nothing."""
    try:
        names = unpickling.names(pickling.dumps(model))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return any(module.partition(".")[0] == "sklearn" for module, _ in names)


def make_importable(folder: Path) -> None:
    """Let a user's module be found: beside the configuration, else in the current folder."""
    for place in (Path.cwd(), folder.absolute()):
        if str(place) in sys.path:
            sys.path.remove(str(place))
        sys.path.insert(0, str(place))


def _source(module: str) -> str:
    """Digest of the factory's module; for a package, of all its files: they are the model too.

    But for our quicker ways to call one, which change no bit of it.
    """
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None)
    if path is None or not path.endswith(".py"):
        return ""
    files = sorted(Path(path).parent.rglob("*.py")) if hasattr(loaded, "__path__") else [Path(path)]
    quicker = Path(fast.__file__).parent
    texts = [f.read_text(encoding="utf-8") for f in files if quicker not in f.parents]
    return source_digest("\n".join(texts))
