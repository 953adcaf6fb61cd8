"""`[delivery]`, `[worker]`, `[quarantine]`, `[snapshots]`: how a worker commits and recovers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from stream.config.checks import Section, matching, show
from stream.config.places import placed
from stream.config.secrets import MASK

OWN_HEADERS = "stream."
"""What the names of our own headers begin with."""

SIGNING_KEY_BYTES_MIN = 32  # not less than SHA-256 gives out: RFC 2104, section 3
_KEY_HINT = "write at least 32 bytes, for example the output of `openssl rand -hex 32`"


class Delivery(Section):
    """What a commit promises, and how often there is one."""

    guarantee: Literal["exactly-once", "at-least-once"] = Field(
        default="exactly-once",
        description="`exactly-once`, or `at-least-once`: a crash may repeat outputs byte for "
        "byte, those of two seconds or a commit interval.",
    )
    commit_interval_ms: int = Field(
        default=200,
        ge=1,
        le=60_000,
        description="Outputs become visible within this time, at-least-once ones at once; longer "
        "is cheaper.",
    )


class Outputs(Section):
    """What outputs carry beside their value."""

    headers: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description='Headers of an event that travel to its prediction: `["traceparent"]`. A '
        "refused record keeps all of its own.",
    )

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        ours = next((name for name in value if name.startswith(OWN_HEADERS)), None)
        if ours is not None:
            raise ValueError(f"{show(ours)} is a header of our own; leave it out")
        return value


class Worker(Section):
    """This process."""

    instance: Annotated[
        str | None,
        matching(r"[a-zA-Z0-9._-]{1,64}", "1 to 64 letters, digits, dots, underscores or hyphens"),
    ] = Field(
        default=None,
        description="A stable name of this process: restarted, it takes its partitions back at "
        "once instead of waiting for the end of its dead predecessor's session. With `--workers` "
        "each is this and a number: `w-0`, `w-1`.",
    )


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A signing key, read once when the configuration was loaded."""

    path: str
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a key's file, without a line's end after the key if the rest is long enough.

        (A binary key may end with the byte of a line feed by chance.)

        Raises: ValueError: cannot be read, or too short.
        """
        try:
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"cannot read {path}: {reason}; {_KEY_HINT} to it") from None
        if len(content) < SIGNING_KEY_BYTES_MIN:
            raise ValueError(f"{path} holds only {len(content)} bytes; {_KEY_HINT} to it")
        key = content.removesuffix(b"\n").removesuffix(b"\r")
        return cls(path, key if len(key) >= SIGNING_KEY_BYTES_MIN else content)


def _key_file(value: object, info: ValidationInfo) -> object:
    return KeyFile.read(placed(value, info)) if isinstance(value, str) else value


class Quarantine(Section):
    """When a flood of refused records stops its partition."""

    breaker_window: int = Field(
        default=1000,
        ge=10,
        le=1_000_000,
        description="How many of a partition's last records the breaker looks at.",
    )
    breaker_share: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="With more than this share of them quarantined the partition is paused until "
        "a restart finds better records ahead (docs/OPERATING.md); 1.0 = never.",
    )


_KeyFile = Annotated[KeyFile, BeforeValidator(_key_file)]


class Snapshots(Section):
    """How fast a worker must be back after a crash, and how stored states are kept and signed."""

    recovery_time_s: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        description="From a crash to the next commit: noticing it, restore and replay. Session and "
        "transaction timeouts and the snapshots' cadence follow from it; without "
        "`worker.instance` at least 6.",
    )
    keep: int = Field(default=3, ge=1, le=100, description="Newest snapshots that are kept.")
    signing_key: SecretStr | None = Field(
        default=None,
        description="Signs the snapshots, at least 32 bytes; the same on every worker.",
    )
    signing_key_file: Annotated[KeyFile | None, BeforeValidator(_key_file)] = Field(
        default=None, description="A file that holds the signing key, instead of it."
    )
    older_key_files: Annotated[tuple[_KeyFile, ...], Field(strict=False)] = Field(
        default=(),
        description="Files with keys that signed before, or that will: they verify, and sign "
        "nothing. To change the key add the new one here on every worker, then exchange the two.",
    )

    @field_validator("signing_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            size = len(value.get_secret_value().encode())
            if size < SIGNING_KEY_BYTES_MIN:
                raise ValueError(f"holds only {size} bytes; {_KEY_HINT}")
        return value

    @field_validator("signing_key_file")
    @classmethod
    def _only_one(cls, value: KeyFile | None, info: ValidationInfo) -> KeyFile | None:
        if value is not None and info.data.get("signing_key") is not None:
            raise ValueError("snapshots.signing_key is there too; keep one of them")
        return value

    def shown(self) -> dict[str, Any]:
        """See `Section.shown`; the key is masked."""
        return super().shown() | {
            "signing_key": MASK if self.signing_key else None,
            "signing_key_file": self.signing_key_file.path if self.signing_key_file else None,
            "older_key_files": [file.path for file in self.older_key_files],
        }
