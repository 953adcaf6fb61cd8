"""The zoo: models of river's that people build, each as a function that a configuration can name.

`ZOO` has them by name. A factory takes the name as its parameter, so that one function serves all.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from river import (
    anomaly,
    compose,
    drift,
    dummy,
    ensemble,
    facto,
    feature_extraction,
    forest,
    imblearn,
    linear_model,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    rules,
    stats,
    tree,
)  # fmt: skip
from river import multiclass as multi

import stream.models

pre = preprocessing
lin = linear_model
Make = Callable[[], Any]


def words_and_numbers() -> Any:
    """Numbers scaled, words as columns: what river's examples begin with."""
    return (compose.SelectType(int, float) | pre.StandardScaler()) + (
        compose.SelectType(str) | pre.OneHotEncoder()
    )


def numbers() -> Any:
    """Numbers alone, scaled."""
    return compose.SelectType(int, float) | pre.StandardScaler()


def _log(y: float) -> float:
    return y / 10


def _back(y: float) -> float:
    return y * 10


BEFORE: dict[str, Make] = {
    "StandardScaler": pre.StandardScaler,
    "MinMaxScaler": pre.MinMaxScaler,
    "MaxAbsScaler": pre.MaxAbsScaler,
    "RobustScaler": pre.RobustScaler,
    "Normalizer": pre.Normalizer,
    "AdaptiveStandardScaler": pre.AdaptiveStandardScaler,
    "Binarizer": pre.Binarizer,
    "windowed StandardScaler": lambda: pre.StandardScaler(window_size=20),
    "PolynomialExtender": feature_extraction.PolynomialExtender,
    "RBFSampler": lambda: feature_extraction.RBFSampler(n_components=5, seed=1),
    "OneHotEncoder": pre.OneHotEncoder,
    "OrdinalEncoder": pre.OrdinalEncoder,
    "FeatureHasher": lambda: pre.FeatureHasher(n_features=8, seed=1),
    "PreviousImputer": pre.PreviousImputer,
    "Agg": lambda: feature_extraction.Agg("a", by="b", how=stats.Mean()),
    "TargetAgg": lambda: feature_extraction.TargetAgg(by="b", how=stats.Mean()),
    "Grouper": lambda: compose.Grouper(pre.StandardScaler(), by="b"),
    "Renamer": lambda: compose.Renamer({"a": "z"}),
    "Select": lambda: compose.Select("a"),
    "union": words_and_numbers,
    "union of three": lambda: numbers() + pre.MaxAbsScaler() + compose.Select("b"),
    "SparseRandomProjector": lambda: pre.SparseRandomProjector(3, seed=1),
    "GaussianRandomProjector": lambda: pre.GaussianRandomProjector(3, seed=1),
}
_TAKES_WORDS = {"OneHotEncoder", "OrdinalEncoder", "FeatureHasher", "union"}


def _behind(before: str, end: Make) -> Any:
    first = () if before in _TAKES_WORDS else (compose.SelectType(int, float),)
    return compose.Pipeline(*first, BEFORE[before](), end())


def _ht(**params: Any) -> Any:
    return tree.HoeffdingTreeClassifier(**{"grace_period": 30, "delta": 0.1} | params)


def _scaled(model: Any) -> Any:
    return compose.Pipeline(compose.SelectType(int, float), pre.StandardScaler(), model)


def _logistic() -> Any:
    return lin.LogisticRegression()


def _optimized(name: str) -> Any:
    return _scaled(lin.LogisticRegression(optimizer=getattr(optim, name)()))


BINARY: dict[str, Make] = {
    **{f"{name} | LogisticRegression": (partial(_behind, name, _logistic)) for name in BEFORE},
    **{f"{name} | HoeffdingTree": (partial(_behind, name, _ht)) for name in BEFORE},
    "LogisticRegression, l1": lambda: _scaled(lin.LogisticRegression(l1=0.01)),
    "LogisticRegression, l2": lambda: _scaled(lin.LogisticRegression(l2=0.01)),
    "SGTClassifier": lambda: compose.SelectType(int, float) | tree.SGTClassifier(grace_period=30),
    "Perceptron": lambda: _scaled(lin.Perceptron()),
    "PAClassifier": lambda: _scaled(lin.PAClassifier()),
    "ALMAClassifier": lambda: _scaled(lin.ALMAClassifier()),
    "FMClassifier": lambda: words_and_numbers() | facto.FMClassifier(seed=1),
    "FFMClassifier": lambda: words_and_numbers() | facto.FFMClassifier(seed=1),
    "ADWINBagging of linear": lambda: (
        words_and_numbers()
        | ensemble.ADWINBaggingClassifier(lin.LogisticRegression(), n_models=3, seed=1)
    ),
    "AdaBoost of linear": lambda: (
        words_and_numbers()
        | ensemble.AdaBoostClassifier(lin.LogisticRegression(), n_models=3, seed=1)
    ),
    "RandomUnderSampler": lambda: _scaled(
        imblearn.RandomUnderSampler(lin.LogisticRegression(), {True: 0.5, False: 0.5}, seed=1)
    ),
    "RandomOverSampler": lambda: _scaled(
        imblearn.RandomOverSampler(lin.LogisticRegression(), {True: 0.5, False: 0.5}, seed=1)
    ),
    "RandomSampler": lambda: _scaled(
        imblearn.RandomSampler(lin.LogisticRegression(), {True: 0.5, False: 0.5}, seed=1)
    ),
    "QuantileFilter": lambda: compose.Pipeline(
        compose.SelectType(int, float),
        pre.MinMaxScaler(),
        anomaly.QuantileFilter(anomaly.HalfSpaceTrees(n_trees=3, height=3, seed=1), q=0.9),
        lin.LogisticRegression(),
    ),
    **{
        f"optim.{name}": (partial(_optimized, name))
        for name in (
            "AdaBound",
            "AdaDelta",
            "AdaGrad",
            "AdaMax",
            "Adam",
            "AMSGrad",
            "FTRLProximal",
            "Momentum",
            "Nadam",
            "NesterovMomentum",
            "RMSProp",
        )
    },
    "optim.Averager": lambda: _scaled(
        lin.LogisticRegression(optimizer=optim.Averager(optim.SGD(0.01)))
    ),
    "rates that fall": lambda: _scaled(
        lin.LogisticRegression(optimizer=optim.SGD(optim.schedulers.InverseScaling(0.1)))
    ),
    "bagging of pipelines": lambda: ensemble.BaggingClassifier(
        words_and_numbers() | lin.LogisticRegression(), n_models=3, seed=1
    ),
    "pipeline in a pipeline": lambda: compose.Pipeline(
        words_and_numbers(), compose.Pipeline(pre.StandardScaler(), lin.LogisticRegression())
    ),
}
MULTICLASS: dict[str, Make] = {
    "GaussianNB": lambda: compose.SelectType(int, float) | naive_bayes.GaussianNB(),
    "BernoulliNB": lambda: compose.SelectType(int, float) | naive_bayes.BernoulliNB(),
    "MultinomialNB": lambda: (
        compose.SelectType(int, float) | pre.MinMaxScaler() | naive_bayes.MultinomialNB()
    ),
    "ComplementNB": lambda: (
        compose.SelectType(int, float) | pre.MinMaxScaler() | naive_bayes.ComplementNB()
    ),
    "SoftmaxRegression": lambda: words_and_numbers() | lin.SoftmaxRegression(),
    "KNNClassifier": lambda: _scaled(
        neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=30))
    ),
    "KNNClassifier, SWINN": lambda: _scaled(
        neighbors.KNNClassifier(engine=neighbors.SWINN(maxlen=60, seed=1))
    ),
    "HoeffdingTree, all": _ht,
    "HoeffdingTree, nominal": lambda: _ht(nominal_attributes=["c"]),
    "HoeffdingAdaptiveTree": lambda: (
        compose.SelectType(int, float)
        | tree.HoeffdingAdaptiveTreeClassifier(grace_period=30, seed=1)
    ),
    "ExtremelyFastDecisionTree": lambda: (
        compose.SelectType(int, float) | tree.ExtremelyFastDecisionTreeClassifier(grace_period=30)
    ),
    "ARFClassifier": lambda: (
        compose.SelectType(int, float) | forest.ARFClassifier(n_models=3, seed=1)
    ),
    "AMFClassifier": lambda: (
        compose.SelectType(int, float) | forest.AMFClassifier(n_estimators=3, seed=1)
    ),
    "SRPClassifier": lambda: (
        compose.SelectType(int, float) | ensemble.SRPClassifier(n_models=3, seed=1)
    ),
    "BaggingClassifier": lambda: (
        compose.SelectType(int, float) | ensemble.BaggingClassifier(_ht(), n_models=3, seed=1)
    ),
    "LeveragingBagging": lambda: (
        compose.SelectType(int, float)
        | ensemble.LeveragingBaggingClassifier(_ht(), n_models=3, seed=1)
    ),
    "ADWINBoosting": lambda: (
        compose.SelectType(int, float) | ensemble.ADWINBoostingClassifier(_ht(), n_models=3, seed=1)
    ),
    "ADWINBagging": lambda: (
        compose.SelectType(int, float) | ensemble.ADWINBaggingClassifier(_ht(), n_models=3, seed=1)
    ),
    "AdaBoost": lambda: (
        compose.SelectType(int, float) | ensemble.AdaBoostClassifier(_ht(), n_models=3, seed=1)
    ),
    "BOLE": lambda: (
        compose.SelectType(int, float) | ensemble.BOLEClassifier(_ht(), n_models=3, seed=1)
    ),
    "VotingClassifier": lambda: (
        compose.SelectType(int, float)
        | ensemble.VotingClassifier([_ht(), naive_bayes.GaussianNB(), lin.SoftmaxRegression()])
    ),
    "StackingClassifier": lambda: (
        compose.SelectType(int, float)
        | ensemble.StackingClassifier(
            [_ht(), naive_bayes.GaussianNB()], meta_classifier=lin.SoftmaxRegression()
        )
    ),
    "OneVsRest": lambda: _scaled(multi.OneVsRestClassifier(lin.LogisticRegression())),
    "OneVsOne": lambda: _scaled(multi.OneVsOneClassifier(lin.LogisticRegression())),
    "OutputCode": lambda: _scaled(
        multi.OutputCodeClassifier(lin.LogisticRegression(), code_size=4, seed=1)
    ),
    "DriftRetraining": lambda: (
        compose.SelectType(int, float) | drift.DriftRetrainingClassifier(naive_bayes.GaussianNB())
    ),
    "NoChange": dummy.NoChangeClassifier,
    "Prior": dummy.PriorClassifier,
    "ready: hoeffding_tree": stream.models.hoeffding_tree,
    "ready: naive_bayes": stream.models.naive_bayes,
    "ready: softmax_regression": stream.models.softmax_regression,
    "ready: k_nearest_neighbors": lambda: stream.models.k_nearest_neighbors(window_size=30),
    "ready: hoeffding_adaptive_tree": stream.models.hoeffding_adaptive_tree,
    "ready: adaptive_random_forest": lambda: stream.models.adaptive_random_forest(n_models=2),
    "ready: leveraging_bagging": lambda: stream.models.leveraging_bagging(n_models=2),
    "ready: no_change": stream.models.no_change,
}
REGRESSION: dict[str, Make] = {
    **{
        f"{name} | LinearRegression": (partial(_behind, name, lin.LinearRegression))
        for name in BEFORE
    },
    "PARegressor": lambda: _scaled(lin.PARegressor()),
    "BayesianLinearRegression": lambda: _scaled(lin.BayesianLinearRegression()),
    "HoeffdingTreeRegressor": lambda: (
        compose.SelectType(int, float) | tree.HoeffdingTreeRegressor(grace_period=30)
    ),
    "HoeffdingAdaptiveTreeRegressor": lambda: (
        compose.SelectType(int, float)
        | tree.HoeffdingAdaptiveTreeRegressor(grace_period=30, seed=1)
    ),
    "SGTRegressor": lambda: compose.SelectType(int, float) | tree.SGTRegressor(grace_period=30),
    "iSOUP, one target": lambda: (
        compose.SelectType(int, float)
        | tree.HoeffdingTreeRegressor(grace_period=30, leaf_prediction="model")
    ),
    "ARFRegressor": lambda: (
        compose.SelectType(int, float) | forest.ARFRegressor(n_models=2, seed=1)
    ),
    "AMFRegressor": lambda: (
        compose.SelectType(int, float) | forest.AMFRegressor(n_estimators=2, seed=1)
    ),
    "OXTRegressor": lambda: (
        compose.SelectType(int, float) | forest.OXTRegressor(n_models=2, seed=1)
    ),
    "AMRules": lambda: compose.SelectType(int, float) | rules.AMRules(n_min=30),
    "KNNRegressor": lambda: _scaled(
        neighbors.KNNRegressor(engine=neighbors.LazySearch(window_size=30))
    ),
    "BaggingRegressor": lambda: _scaled(
        ensemble.BaggingRegressor(lin.LinearRegression(), n_models=3, seed=1)
    ),
    "EWARegressor": lambda: _scaled(
        ensemble.EWARegressor([lin.LinearRegression(), lin.LinearRegression(l2=0.1)])
    ),
    "SRPRegressor": lambda: (
        compose.SelectType(int, float) | ensemble.SRPRegressor(n_models=2, seed=1)
    ),
    "FMRegressor": lambda: (
        words_and_numbers()
        | facto.FMRegressor(
            weight_optimizer=optim.SGD(1e-4),
            latent_optimizer=optim.SGD(1e-4),
            intercept_lr=1e-3,
            seed=1,
        )
    ),
    "TargetStandardScaler": lambda: _scaled(pre.TargetStandardScaler(lin.LinearRegression())),
    "TargetMinMaxScaler": lambda: _scaled(pre.TargetMinMaxScaler(lin.LinearRegression())),
    "TargetTransformRegressor": lambda: _scaled(
        compose.TargetTransformRegressor(lin.LinearRegression(), _log, _back)
    ),
    "PredClipper": lambda: _scaled(pre.PredClipper(lin.LinearRegression(), y_min=-5, y_max=5)),
    "HardSampling": lambda: _scaled(
        imblearn.HardSamplingRegressor(lin.LinearRegression(), size=10, p=0.3, seed=1)
    ),
    "StatisticRegressor": lambda: dummy.StatisticRegressor(stats.EWMean()),
    "ready: linear_regression": stream.models.linear_regression,
    "ready: hoeffding_tree_regressor": stream.models.hoeffding_tree_regressor,
    "ready: adaptive_random_forest_regressor": lambda: (
        stream.models.adaptive_random_forest_regressor(n_models=2)
    ),
    "ready: running_mean": stream.models.running_mean,
}
ANOMALY: dict[str, Make] = {
    "HalfSpaceTrees": lambda: (
        compose.SelectType(int, float)
        | pre.MinMaxScaler()
        | anomaly.HalfSpaceTrees(n_trees=3, height=3, window_size=20, seed=1)
    ),
    "OneClassSVM": lambda: _scaled(anomaly.OneClassSVM()),
    "LocalOutlierFactor": lambda: _scaled(anomaly.LocalOutlierFactor(n_neighbors=5)),
    "QuantileFilter, last": lambda: _scaled(anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9)),
    "ThresholdFilter, last": lambda: _scaled(
        anomaly.ThresholdFilter(anomaly.OneClassSVM(), threshold=0.9)
    ),
    "ready: half_space_trees": lambda: stream.models.half_space_trees(
        n_models=3, height=4, window_size=20
    ),
}
ZOO: dict[str, Make] = BINARY | MULTICLASS | REGRESSION | ANOMALY


def animal(name: str) -> Any:
    """The model of this name, untrained."""
    return ZOO[name]()
