"""The command `init`: a starter configuration from a sample of somebody's events."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream.config.checks import show
from stream.core.event import Kind
from stream.core.spec import EventShape, Limits
from stream.errors import Misconfigured, Usage
from stream.printable import escaped
from stream.runtime.commands import samples, screen
from stream.runtime.commands.guesses import Guess, guess
from stream.runtime.files.spellings import alike, alike_said, odd_number

SAMPLE_RECORDS = 5_000
"""More would tell the same, and take longer than anybody waits without a word."""

REFUSED_SHARE_MAX = 0.1
FEATURES_MAX = 100_000  # `limits.features_max` takes no more

MODELS = {
    Kind.BINARY: ("logistic_regression", "true or false", "adaptive_random_forest"),
    Kind.MULTICLASS: ("softmax_regression", "any number of classes", "adaptive_random_forest"),
    Kind.REGRESSION: ("linear_regression", "numbers", "adaptive_random_forest_regressor"),
    Kind.ANOMALY: ("half_space_trees", "how odd an event is, without any label", None),
}
"""By what there is to do: the ready model, what it is for, and one that is slower and stronger."""


def write(
    path: Path,
    *,
    out: Path,
    force: bool,
    label: str | None,
    own_id: str | None,
    pipeline: str | None,
) -> None:
    """Write a configuration that fits a file, and say how to go on.

    Args:
        path: `.jsonl` or `.csv`, either with `.gz`; of it the first 5,000 lines are looked at.
        out: the configuration to write.
        force: whether a file that is there may be overwritten.
        label: the label's field; None: it is guessed.
        own_id: the id's field; None: it is guessed.
        pipeline: the pipeline's name; None: the file's name.

    Raises: BadInput: the file, or there is no label to be found. Usage: `out` is there already.
    """
    if out.exists() and not force:
        raise Usage(f"{out}: is there already; --force overwrites it, --out names another file")
    sample = samples.read(path, n=SAMPLE_RECORDS)
    found = guess(
        sample.records, label=label, own_id=own_id, is_csv=sample.is_csv, header=sample.header
    )
    warnings = _warnings(sample, found)
    name = _pipeline(pipeline or path.name.partition(".")[0])
    text = configuration(found, name, sample=path.name, n=len(sample.records), warnings=warnings)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{out}: cannot be written: {error.strerror}; name another") from None
    _tell(found, path, out, sample=sample, warnings=warnings)


def _warnings(sample: samples.Sample, found: Guess) -> list[str]:
    """Say what will not go well with such events, for the screen and for the file."""
    said = [sample.said()] if sample.bad_n else []
    if found.mixed:
        said.append(
            f"the labels are of several JSON types ({found.mixed}): they are learned "
            "right only if they are of one; let whoever sends them agree on it"
        )
    if found.label is not None and not found.is_labelled:
        said.append(
            f"no event has the label {show(found.label)} yet, which is taken for true or false: "
            "if it is one of two words, write true's into events.positive (0 and 1: positive = 1); "
            "if a number or one of several classes, name another model"
        )
    if words := alike(record.get(found.label) for record in sample.records if found.label):
        said.append(alike_said(words))
    if odd := _odd_numbers(sample, found):
        said.append(f"{odd}: looks like numbers, is text as it stands; write a number as 1234.5")
    shape = EventShape(
        id=found.id or "id", label=found.label or "label", positive=found.positive,
        flat=found.features is None, features=found.features or "features",
        ignore=frozenset((*found.ignored, *found.times)),
    )  # fmt: skip
    refused_n, why = samples.refused(sample, shape, found.kind, Limits(**_limits(found)))
    if refused_n > REFUSED_SHARE_MAX * len(sample.records):
        n = len(sample.records)
        said.append(f"{refused_n} of {n} events would be refused, most of them as {why}")
    return said


def _odd_numbers(sample: samples.Sample, found: Guess) -> str:
    """Name the fields that people would read as numbers, each with an example."""
    records = sample.records
    if found.features is not None:
        inner = [record.get(found.features) for record in records]
        records = [each if isinstance(each, dict) else {} for each in inner]
    names = (*found.names, *found.ignored)
    odd = {name: odd_number(r.get(name) for r in records) for name in names}
    if found.label is not None:
        odd[found.label] = odd_number(record.get(found.label) for record in sample.records)
    shown = [f"{show(name)} ({show(text)})" for name, text in odd.items() if text]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")  # noqa: PLR2004


def _limits(found: Guess) -> dict[str, int]:
    """The limits that the sample needs and that are not the defaults."""
    default = Limits()
    needed = {
        "features_max": min(found.features_n, FEATURES_MAX),
        "distinct_features_max": min(len(found.names), FEATURES_MAX),
    }
    return {name: n for name, n in needed.items() if n > getattr(default, name)}


def _pipeline(text: str) -> str:
    """Turn a text into a name that a pipeline may have."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-") or "events"


def configuration(
    found: Guess, pipeline: str, *, sample: str, n: int, warnings: Sequence[str] = ()
) -> str:
    """Write the text of the configuration, with comments."""
    model, when, stronger = MODELS[found.kind]
    lines = [
        f"# Written by `stream init` after the first {n:,} events of {escaped(sample)}.",
        "# Every key is in docs/CONFIGURATION.md; `stream check` says whether all of it fits.",
        *(f"# Of this sample: {escaped(warning)}." for warning in warnings),
        "",
        "# The consumer group, and the beginning of the topics' names.",
        f"pipeline = {_toml(pipeline)}",
        "",
        "# Everything in one file, without a server: for trying things.",
        "[kafka]",
        'client = "embedded"',
        f"path = {_toml(f'{pipeline}.db')}",
        "# With Kafka (and Redis, for the snapshots) instead of these two lines:",
        '# bootstrap_servers = "localhost:9092"',
        "# [redis]",
        '# url = "redis://localhost:6379/0"',
        "",
        *_events(found),
        "",
        *_limited(found),
        f"# A ready model for {when}.",
        *([f"# Slower, and often better: stream.models:{stronger}"] if stronger else []),
        "# Your own: module:function of a file in this folder, which returns a river estimator.",
        "[model]",
        f"factory = {_toml(f'stream.models:{model}')}",
    ]
    return "\n".join(lines) + "\n"


def _events(found: Guess) -> list[str]:
    """Write the section `[events]`, with a comment where a field was guessed or left out."""
    lines = ["# Which field of an event is what.", "[events]"]
    if found.features is None:
        lines += ['features = "*"' + f"  # every field that is nothing else: {_some(found.names)}"]
    elif found.features != "features":
        lines += [f"features = {_toml(found.features)}"]
    if found.id is not None:
        lines += [f"id = {_toml(found.id)}"]
    if found.label is not None:
        lines += [f"label = {_toml(found.label)}  # {found.why_label}"]
        if found.kind is Kind.REGRESSION:
            lines[-1] += ": a number"
    if found.positive is not None:
        lines += [f"positive = {_toml(found.positive)}  # is true; any other label is false"]
    ignored = {**dict.fromkeys(found.times, "it says when"), **found.ignored}
    if ignored:
        lines += ["# Fields that are no features. Known before the label, and of use? Take it out."]
        lines += ["ignore = ["]
        lines += [f"    {_toml(name)},  # {why}" for name, why in ignored.items()]
        lines += ["]"]
    return lines


def _limited(found: Guess) -> list[str]:
    """Write the section `[limits]`, if the sample needs more than the defaults."""
    limits = [f"{name} = {n}" for name, n in _limits(found).items()]
    if not limits:
        return []
    return ["# The sample's events have more than the defaults allow.", "[limits]", *limits, ""]


def _some(names: Sequence[str]) -> str:
    """List the first names, and how many more there are."""
    shown = ", ".join(escaped(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown  # noqa: PLR2004


def _toml(value: Any) -> str:
    """Write a value as TOML; a string is shown escaped."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _tell(
    found: Guess, path: Path, out: Path, *, sample: samples.Sample, warnings: Sequence[str]
) -> None:
    """Say what was found, and what to type next."""
    is_csv = sample.is_csv
    model, *_ = MODELS[found.kind]
    label = "no label" if found.label is None else f'label "{found.label}" ({found.why_label})'
    if found.positive is not None:
        label += f", {json.dumps(found.positive)} is true"
    features = "1 feature" if len(found.names) == 1 else f"{len(found.names)} features"
    screen.say(f"{out}: {features}, {label}, model {model}")
    for name, why in found.ignored.items():
        screen.say(f'not a feature: "{name}": {why}')
    for warning in warnings:
        screen.say(f"warning: {warning}")
    options = f" --time {shlex.quote(found.times[0])}" if is_csv and found.times else ""
    options += " --no-label" if is_csv and found.label is None else ""
    file, configured = shlex.quote(str(path)), shlex.quote(str(out))
    screen.say("")
    screen.say(f"Next, when {path} is mended ({sample.broken}):" if sample.broken else "Next:")
    for words in ("check", "produce", "run", "tail"):
        more = {"produce": f" {file}{options}", "run": " --until-end", "tail": " predictions"}
        screen.say(f"  stream {words} -c {configured}{more.get(words, '')}")
