"""What the configuration refuses, and in which words."""

from pathlib import Path

import pytest

from stream.config import load
from stream.config.reference import keys
from stream.errors import Misconfigured
from tests.config.conftest import PLAIN, Load

CANARY = "canary-7f3a-canary-7f3a-canary-7f3a"


def problems(load_text: Load, text: str = PLAIN, /, **environ: str) -> tuple[str, ...]:
    """What loading complains about; it must, one line each, without pydantic's words."""
    with pytest.raises(Misconfigured) as refused:
        load_text(text, **environ)
    for line in refused.value.problems:
        assert "\n" not in line
        assert "pydantic" not in line.lower()
        assert "validation" not in line.lower()
    # The cause of an exception is printed with it, and pydantic's would tell the values.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value.problems


def problem(load_text: Load, text: str = PLAIN, /, **environ: str) -> str:
    """The one line that loading complains with."""
    (line,) = problems(load_text, text, **environ)
    return line


def test_all_problems_are_told_at_once(loaded: Load, tmp_path: Path) -> None:
    """Four mistakes in the file and three in the environment are seven lines."""
    text = """
    [kafka]
    bootstrap_server = "localhost:9092"
    [redis]
    url = "redis://cache:6379/0"
    [model]
    factory = "m.f"
    """
    found = problems(
        loaded,
        text,
        STREAM__DELIVERY__GUARANTEE="exactly_once",
        STREAM__SNAPSHOTS__KEP="3",
        STREAM__EVENTS__ID_FILE=str(tmp_path / "absent"),
    )

    starts = [
        'delivery.guarantee: "exactly_once" is not one of "exactly-once", "at-least-once"; did you',
        f"events.id: cannot read {tmp_path / 'absent'}: No such file or directory; name a read",
        'kafka.bootstrap_server: unknown key; did you mean "bootstrap_servers"?',
        'model.factory: "m.f" names no callable; write "m:f" (a colon before the callable)',
        'pipeline: missing; write pipeline = "electricity"',
        'snapshots.kep: unknown key; did you mean "keep"? (STREAM__SNAPSHOTS__KEP)',
        "snapshots.signing_key_file: missing: Redis is on another machine",
    ]
    for line, start in zip(sorted(found), starts, strict=True):
        assert line.startswith(start)


REFUSED = [
    ("", "model.factory: missing; write factory ="),
    ("[[model]]", "model: must be a table, not a list"),
    ('pipeline = "Elec"', "pipeline: "),
    ('pipeline = "electricity\\n"', "pipeline: "),
    ("pipeline = 3", 'pipeline: must be a string (write it in "quotes"), not a number'),
    ("keep = 3", "keep: unknown key; did you mean snapshots.keep?"),
    ("[kafka]\nbootstrap_servers = [1]", "kafka.bootstrap_servers: must be a string"),
    ('[kafka]\nbootstrap_servers = "a b:1"', 'kafka.bootstrap_servers: "a b:1" is no list'),
    ('[kafka]\nbootstrap_servers = "a"', 'kafka.bootstrap_servers: "a": a has no port; write HOST'),
    (
        '[kafka]\nbootstrap_servers = "a:"',
        'kafka.bootstrap_servers: "a:": a: has no port; write HO',
    ),
    ('[kafka]\nbootstrap_servers = "[::1]"', 'kafka.bootstrap_servers: "[::1]": [::1] has no port'),
    (
        '[kafka]\nbootstrap_servers = "a:9092,b:99999"',
        'kafka.bootstrap_servers: "a:9092,b:99999": the port 99999 cannot be; write HOST:PORT',
    ),
    ('[kafka]\nbootstrap_servers = "a:0"', 'kafka.bootstrap_servers: "a:0": the port 0 cannot be'),
    ('[kafka]\nbootstrap_servers = "a:x"', 'kafka.bootstrap_servers: "a:x": the port x cannot be'),
    ('[kafka]\npath = "x"', 'kafka.path: only for client = "embedded"'),
    ('[kafka]\nclient = "embedded"', 'kafka.path: missing; write path = "FILE"'),
    ('[kafka.options]\ngroup_id = "x"', "kafka.options.group_id: cannot be set here: it has a key"),
    ("[kafka.options]\nsession_timeout_ms = 9", "kafka.options.session_timeout_ms: cannot be set"),
    (
        "[kafka.options]\nsasl_plain_password = 1",
        "kafka.options.sasl_plain_password: must be a str",
    ),
    ('[kafka.options]\nsasl.mechanism = "x"', "kafka.options.sasl: a table is no option"),
    ('[kafka]\nclient="confluent"\noptions.isolation.level="x"', 'kafka.options."isolation.level"'),
    ('[kafka]\nclient = "embedded"\npath = "a\\u0000b"', "kafka.path: has a NUL in it"),
    ('[topics]\nevents = "a/b"', 'topics.events: "a/b" is not possible'),
    ('[topics]\nevents = ".."', "topics.events: "),
    ('[topics]\nevents = "x"\nalerts = "x"', "topics.alerts: "),
    (
        '[topics]\nevents = "x.y"\nalerts = "x_y"',
        'topics.alerts: "x_y" collides with topics.events',
    ),
    (f'[topics]\nevents = "{"e" * 250}"', "topics.events: "),
    ("[topics]\nretention_ms = 0", "topics.retention_ms: 0 is too small; write -1"),
    (f"[topics]\nretention_ms = {2**63}", "topics.retention_ms: 9223372036854775808 is too large"),
    ("[topics]\ncreate = 1", "topics.create: must be true or false, not a number"),
    ('[redis]\nurl = "http://localhost"', "redis.url: it begins with none of"),
    ('[redis]\nurl = "redis:///0"', "redis.url: the host is missing"),
    ('[redis]\nurl = "redis://localhost/db"', "redis.url: what follows the host"),
    ('[redis]\nurl = "redis://localhost:x"', "redis.url: its host or port cannot be read"),
    ('[events]\nlabel = "id"', 'events.label: "id" is events.id already'),
    ('[events]\nignore = ["label"]', 'events.ignore: "label" is events.label already'),
    ("[events]\npositive = [1]", "events.positive: must be one value"),
    ("[events]\npositive = nan", "events.positive: "),
    ('[model]\nfactory = "x:1y"', 'model.factory: "x:1y" names no callable'),
    ("[model]\nhash_seed = 4294967296", "model.hash_seed: 4294967296 is too large; write a number"),
    ("[delivery]\ncommit_interval_ms = 0", "delivery.commit_interval_ms: 0 is too small; write a"),
    ("[delivery]\ncommit_interval_ms = 1.5", "delivery.commit_interval_ms: must be a whole number"),
    ('[worker]\ninstance = "a b"', 'worker.instance: "a b" is not possible'),
    ("[snapshots]\nrecovery_time_s = 5", "snapshots.recovery_time_s: 5 is too small: without work"),
    ("[snapshots]\nrecovery_time_s = inf", "snapshots.recovery_time_s: "),
    ('[snapshots]\nsigning_key = "short"', "snapshots.signing_key: holds only 5 bytes"),
    (
        '[snapshots]\nsigning_key_file = "/no/key"',
        "snapshots.signing_key_file: cannot read /no/key",
    ),
    ("[limits]\nmagnitude_max = 1e300", "limits.magnitude_max: 1e+300 is too large"),
    ("[limits]\ndistinct_features_max = 9", "limits.distinct_features_max: 9 is less than"),
    ('detectors = ["ADWIN"]', "detectors[0]: must be a table, not a string"),
    ('detectors = [{ type = "adwin" }]', 'detectors[0].type: "adwin" is not one of "ADWIN"'),
    ('detectors = [{ name = "x" }]', 'detectors[0].type: missing; write type = "ADWIN"'),
    ('detectors = [{ type = "KSWIN" }]', "detectors[0].params.seed: missing: unseeded"),
    ('detectors = [{ type = "DDM", signal = "eror" }]', 'detectors[0].signal: "eror" is no signal'),
    (
        '[monitors]\nreference = "first 10"',
        'monitors.reference: "first 10" is no reference',
    ),
    (
        '[monitors]\nsilence_after = "soon"',
        'monitors.silence_after: "soon" is no duration; write "30s"',
    ),
    ('[alerts]\npolicy = "silent"', 'alerts.policy: "silent" is not one of "raw", "quiet"'),
    ('[alerts]\ncooldown = "1 hour"', 'alerts.cooldown: "1 hour" is no cooldown'),
    ('[alerts]\ncooldown = "0 events"', 'alerts.cooldown: "0 events" is no cooldown'),
    ('[alerts]\nmin_severity = "high"', "alerts.min_severity: "),
    (
        'detectors = [{ type = "DDM", severity = "bad" }]',
        'detectors[0].severity: "bad" is not one of "info", "warning", "critical"',
    ),
    ('detectors = [{ type = "DDM", signal = "feature:" }]', "detectors[0].signal: "),
    (
        'detectors = [{ type = "DDM" }, { type = "DDM" }]',
        'detectors[1].name: "ddm" is detectors[0]',
    ),
    (
        'detectors = [{ type = "ADWIN", params = { dleta = 1 } }]',
        "detectors[0].params.dleta: ADWIN",
    ),
    ('detectors = [{ type = "ADWIN", params = { clock = 0 } }]', "detectors[0].params.clock: 0"),
    (
        'detectors = [{ type = "DDM", params = { warm_start = "x" } }]',
        "detectors[0].params.warm_st",
    ),
    ('detectors = [{ type = "EDDM", params = { alpha = 0.1 } }]', "detectors[0].params: EDDM"),
    (
        'detectors = [{ type = "ECUSUM", params = { threshold = 1 } }]',
        "detectors[0].params: ECUSUM refuses them: threshold must be from 10 to 1e15, not 1",
    ),
    (
        'detectors = [{ type = "ECUSUM", params = { warm_up = 99.5 } }]',
        "detectors[0].params.warm_up: 99.5: write a whole number, for example 1000",
    ),
    (
        'detectors = [{ type = "ECUSUM", params = { delta = 1 } }]',
        "detectors[0].params.delta: ECUSUM has no such parameter",
    ),
]


def whole(part: str) -> str:
    """A configuration with `part` in it, and what is always needed unless that is there."""
    top = "" if part.startswith("pipeline") else 'pipeline = "electricity"\n'
    model = "" if part in {"", "[[model]]"} or "factory" in part else "factory = 'm:f'\n"
    if model and "[model]" in part:
        return top + part + "\n" + model
    return top + part + ("\n[model]\n" + model if model else "")


@pytest.mark.parametrize(("part", "line"), REFUSED)
def test_a_mistake_is_one_line_with_its_key(loaded: Load, part: str, line: str) -> None:
    """Each rule of the contract refuses, names the key, and nothing else is reported."""
    found = problem(loaded, whole(part))

    assert found.startswith(line)


def test_the_nearest_name_is_suggested(loaded: Load) -> None:
    """Case and punctuation do not hide what was meant."""
    for part, name in (
        ('detectors = [{ type = "hddm_w" }]', "HDDMW"),
        ('detectors = [{ type = "ADWIN", params = { dleta = 1 } }]', "delta"),
        ('[topics]\nstart = "latst"', "latest"),
    ):
        assert problem(loaded, whole(part)).endswith(f'did you mean "{name}"?')


def test_variables_that_name_no_key_are_refused(loaded: Load) -> None:
    """A misspelt variable must not be passed over, nor a table be set as a whole."""
    assert problem(loaded, PLAIN, STREAM__KAFKA__CLIENTS="x").startswith("kafka.clients: unknown")
    assert problem(loaded, PLAIN, STREAM__KAFKA="{}").startswith("kafka: a table; set its keys")
    assert problem(loaded, PLAIN, STREAM__PIPELINE__X="1").startswith("pipeline.x: unknown key")
    assert problem(loaded, PLAIN, STREAM__="1").endswith("(STREAM__)")


def test_variables_that_cannot_be_read_are_refused(loaded: Load) -> None:
    """Bytes that are not UTF-8, which Python keeps as surrogates; and JSON without a bottom."""
    assert problem(loaded, PLAIN, STREAM__PIPELINE="p\udcff") == (
        "pipeline: is not UTF-8; write it as UTF-8 (STREAM__PIPELINE)"
    )
    assert problem(loaded, PLAIN, STREAM__EVENTS__IGNORE="[" * 100_000).startswith(
        "events.ignore: is nested too deeply"
    )


def test_detectors_are_set_as_a_whole(loaded: Load) -> None:
    """A list that is no JSON, or a part of it set alone, is refused."""
    found = problem(loaded, PLAIN, STREAM__DETECTORS="[{type:ADWIN}]")
    assert found.startswith("detectors: the variable is no JSON: Expecting property name")
    assert found.endswith('for example [{"type": "ADWIN"}] (STREAM__DETECTORS)')
    assert "events.ignore: the variable is no JSON: " in problem(
        loaded, PLAIN, STREAM__EVENTS__IGNORE="a, b"
    )
    assert "as JSON in STREAM__DETECTORS" in problem(
        loaded, PLAIN, STREAM__DETECTORS__0__NAME="adwin"
    )


def test_a_key_given_twice_is_refused(loaded: Load, tmp_path: Path) -> None:
    """Nobody should have to guess which of KEY and KEY_FILE wins."""
    (tmp_path / "url").write_text("redis://localhost/1")

    found = problem(
        loaded,
        PLAIN,
        STREAM__REDIS__URL="redis://localhost/2",
        STREAM__REDIS__URL_FILE=str(tmp_path / "url"),
    )

    assert found == (
        "redis.url: STREAM__REDIS__URL_FILE gives it too; keep one of the two (STREAM__REDIS__URL)"
    )


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, not TOML: one line, with the line's number for TOML."""
    broken = tmp_path / "broken.toml"
    for content, words in (
        (b"pipeline = \nx", "line 1"),
        (b"\xff", "not UTF-8"),
        (b"x = " + b"[" * 5000, "nested too deeply"),
    ):
        broken.write_bytes(content)
        with pytest.raises(Misconfigured, match=words):
            load(broken, environ={})
    with pytest.raises(Misconfigured, match="No such file"):
        load(tmp_path / "absent.toml", environ={})
    with pytest.raises(Misconfigured, match="cannot be read"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("redis://localhost", True),
        ("redis://127.8.0.1:6379/3", True),
        ("rediss://[::1]:6379/0", True),
        ("unix:///run/redis.sock?db=1", True),
        ("redis://localhost.example.org/0", False),
        ("redis://localhost%2eexample.org/0", False),
        ("redis://10.0.0.1/0", False),
        ("rediss://cache/0", False),
    ],
)
def test_redis_elsewhere_needs_a_signing_key(loaded: Load, url: str, *, local: bool) -> None:
    """Only loopback and unix sockets go without; the embedded client needs no Redis."""
    if local:
        assert loaded(PLAIN, STREAM__REDIS__URL=url).signing_key_bytes() is None
    else:
        line = problem(loaded, PLAIN, STREAM__REDIS__URL=url)
        assert line.startswith("snapshots.signing_key_file: missing")
    embedded = {"STREAM__KAFKA__CLIENT": "embedded", "STREAM__KAFKA__PATH": "log"}
    assert loaded(PLAIN, STREAM__REDIS__URL=url, **embedded).kafka.path == "log"
    signed = loaded(PLAIN, STREAM__REDIS__URL=url, STREAM__SNAPSHOTS__SIGNING_KEY=CANARY)
    assert signed.signing_key_bytes() == CANARY.encode()


def test_a_signing_key_is_long_and_given_once(loaded: Load, tmp_path: Path) -> None:
    """Less than 32 bytes sign nothing, and of two keys nobody knows which one does."""
    path = tmp_path / "key"
    path.write_bytes(b"short")
    assert "holds only 5 bytes" in problem(
        loaded, PLAIN, STREAM__SNAPSHOTS__SIGNING_KEY_FILE=str(path)
    )
    path.write_bytes(b"k" * 32)
    assert "keep one of them" in problem(
        loaded,
        PLAIN,
        STREAM__SNAPSHOTS__SIGNING_KEY_FILE=str(path),
        STREAM__SNAPSHOTS__SIGNING_KEY=CANARY,
    )


def test_secrets_are_in_no_message(loaded: Load, tmp_path: Path) -> None:
    """Whatever is wrong with a secret, or wherever a secret's file was put by mistake."""
    (tmp_path / "secret").write_text(CANARY + " CANARY\n")
    secret = str(tmp_path / "secret")
    plain_keys = [
        key for key, _ in keys() if not key.startswith(("detectors", "snapshots.signing"))
    ]
    for key in plain_keys:
        name = "STREAM__" + key.upper().replace(".", "__")
        try:
            loaded(PLAIN, **{name + "_FILE": secret})
        except Misconfigured as error:
            assert "canary" not in str(error).lower(), key  # noqa: PT017
    for text, environ in (
        (PLAIN, {"STREAM__REDIS__URL": f"redis://:{CANARY}@host:port"}),
        (PLAIN, {"STREAM__REDIS__URL": f"http://:{CANARY}@host"}),
        (PLAIN, {"STREAM__REDIS__URL": f"redis://:{CANARY}@remote/0"}),
        (PLAIN, {"STREAM__REDIS__PASSWORD": CANARY}),
        (PLAIN, {"STREAM__SNAPSHOTS__SIGNING_KEY": "canary"}),
        (PLAIN, {"STREAM__KAFKA__OPTIONS__SASL_PLAIN_PASSWORD": CANARY, "STREAM__X": "1"}),
        (PLAIN + f'[redis]\npassword = "{CANARY}"', {}),
        (PLAIN + f"[redis]\nurl = redis://:{CANARY}@host", {}),
        (PLAIN + f'[redis]\nurl = ["{CANARY}"]', {}),
        (PLAIN + f'[kafka.options]\nsasl_plain_password = ["{CANARY}"]', {}),
    ):
        assert "canary" not in " ".join(problems(loaded, text, **environ))
