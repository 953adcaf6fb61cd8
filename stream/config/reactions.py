"""`[[reactions]]`: what a fold does by itself when an alert is announced."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from stream.config import problems
from stream.config.alerts import checked_cooldown, cooldown_of
from stream.config.checks import RefusedError, Section, did_you_mean, show
from stream.core.monitoring.reactions import Rule

KINDS = (
    "drift", "warning", "input", "output", "flow", "numeric", "score", "storm",
)  # fmt: skip

Deed = Literal["freeze", "reset"]


def _when(value: str) -> str:
    """Check what an alert is called: a kind, or a name; names are not all known here."""
    if not value.strip():
        raise ValueError(f'{show(value)} is no alert; write its kind, "drift", or its name')
    if value not in KINDS and value.lower() in KINDS:
        raise ValueError(f'{show(value)} is no kind of alert; did you mean "{value.lower()}"?')
    return value


def _do(value: Any) -> Any:
    """Say of what is not there yet that it is not."""
    if value == "rollback":
        raise ValueError('"rollback" is not there yet; write "freeze" or "reset"')
    if isinstance(value, str) and value not in get_args(Deed):
        raise ValueError(f"{show(value)} is nothing to do; {did_you_mean(value, get_args(Deed))}")
    return value


class Reaction(Section):
    """One reaction as it is written; `core()` is what the fold gets."""

    when: Annotated[str, AfterValidator(_when)] = Field(
        description="The kind of an alert (" + ", ".join(f"`{each}`" for each in KINDS) + "), or "
        'its name (`"ecusum"`, `"model:numeric"`). With quiet alerts: when it is announced as '
        "firing.",
        examples=["drift"],
    )
    do: Annotated[Deed, BeforeValidator(_do)] = Field(
        description="At the end of that step: `freeze` learning, or `reset` the model to an "
        "untrained one. The ledger says so.",
        examples=["reset"],
    )
    cooldown: Annotated[str, AfterValidator(checked_cooldown)] = Field(
        default="1000 events",
        description="So long after it acted it does not act again: as `alerts.cooldown`.",
    )

    def core(self) -> Rule:
        """The same, as the fold wants it."""
        number, unit = cooldown_of(self.cooldown)
        return Rule(self.when, self.do, number, unit)


def rules(value: Any) -> Any:
    """The whole list, every table's problems at once; anything else is pydantic's to refuse.

    Raises: RefusedError.
    """
    if not isinstance(value, list | tuple):
        return value
    found: list[Rule] = []
    refused = []
    for i, each in enumerate(value):
        try:
            found.append(each if type(each) is Rule else Reaction.model_validate(each).core())
        except ValidationError as error:
            written = problems.entries(error, Reaction)
            refused += [(problems.under(f"[{i}]", key), text) for key, text in written]
    first: dict[tuple[str, str], int] = {}
    for i, rule in enumerate(found if not refused else ()):
        if (j := first.setdefault((rule.when, rule.do), i)) != i:
            text = f"reactions[{j}] does the same at the same alert; leave one of them"
            refused.append((f"[{i}].when", text))
    if refused:
        raise RefusedError(*refused)
    return tuple(found)


Reactions = Annotated[tuple[Rule, ...], BeforeValidator(rules)]
