"""The lists of `unpickling`: what every state may name, and what depends on its untrained model."""

Name = tuple[str, str]
"""A module and a qualified name in it."""


def _named(modules: dict[str, str]) -> frozenset[Name]:
    return frozenset((module, name) for module, names in modules.items() for name in names.split())


PLAIN = _named(
    {
        "array": "array _array_reconstructor",
        "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int "
        "iter list object range set slice str tuple",
        "collections": "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict "
        "deque",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "ipaddress": "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network",
        "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
        "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
        "random": "Random",
        "re": "_compile RegexFlag",
        "statistics": "NormalDist",
        "stream.core.snapshots.rebuilding": "_stand_in array array_of_objects bit_generator "
        "dtype filled generator member method numbers ones random_state scalar seed_sequence zone",
        "types": "SimpleNamespace",
        "uuid": "SafeUUID UUID",
        # Functions that river's estimators come to hold only while they learn.
        "river.naive_bayes.gaussian": "GaussianNB._make_gaussian",
        "river.tree.splitter.ebst_splitter": "EBSTNode._update_estimator_univariate",
        "river.tree.splitter.nominal_splitter_reg": "NominalSplitterReg._update_estimator_univariate",  # noqa: E501
        "river.utils.math": "minkowski_distance",
    }
)
"""Every state may name these: to make them has no other effect."""

IF_HELD = {
    "builtins": "abs all any divmod enumerate filter hash len map max min pow reversed round "
    "sorted sum zip",
    "copy": "copy deepcopy",
    "cmath": "",
    "itertools": "",
    "math": "",
    "operator": "abs add and_ contains eq floordiv ge gt itemgetter le lt mod mul ne neg not_ or_ "
    "pos sub truediv",
    "statistics": "",
    "string": "",
}
"""Module of the standard library -> what an untrained model may hold of it; "": everything."""

GROWN = {
    "": "stats proba sketch _river_rust",
    "active": "tree",
    "anomaly": "tree",
    "bandit": "",
    "compose": "",
    "ensemble": "tree",
    "feature_extraction": "tree",
    "forest": "linear_model optim tree",
    "rules": "tree",
    "tree": "drift linear_model optim",
}
"""River's package -> the other packages whose classes its models come to hold while they learn."""

NOT_GROWN = frozenset(
    ("api", "bandit", "base", "checks", "compat", "compose", "datasets", "evaluate", "stream")
)
"""River's packages of which a state may name only what the untrained model names. A bandit's models
are given to it, `FuncTransformer` calls what it is given, and others read and write files or run
whole experiments."""

GROWN_OF_SKLEARN = {
    "cluster": "cluster._birch",
    "linear_model": "linear_model._sgd_fast _loss._loss",
    "multiclass": "multiclass preprocessing._label",
    "neural_network": "neural_network._stochastic_optimizers preprocessing._label",
}
"""Scikit-learn's package -> the modules whose classes its models come to hold while they learn:
loss functions, which have a number or nothing, optimizers, coders of labels. Models of its other
packages come to hold none."""

LIBRARIES = frozenset(("numpy", "river", "sklearn"))
"""What is in them is allowed one by one, or by a rule of its own."""

GROWN_METHODS: frozenset[tuple[Name, str]] = frozenset(
    {(("river.tree.splitter.qo_splitter", "Slot"), "_update_estimator_univariate")}
)
"""Bound methods that river's estimators come to hold only while they learn: regression trees'."""
