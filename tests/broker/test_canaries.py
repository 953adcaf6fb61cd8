"""No secret is ever read anywhere: outputs, topics, snapshots, files; nor in a failure."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import zstandard

from stream.core.event import Channel
from tests.broker.encrypted import EncryptedKafka, EncryptedRedis
from tests.broker.guarded_pipeline import Guarded
from tests.canaries import leaks
from tests.commands.project import Done, closed_port

pytestmark = pytest.mark.broker

PASSWORD = "STREAM__KAFKA__OPTIONS__SASL_PLAIN_PASSWORD"  # noqa: S105  # a variable's name
URL = "STREAM__REDIS__URL"


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory,
    encrypted_kafka: EncryptedKafka,
    encrypted_redis: EncryptedRedis,
) -> Guarded:
    """A pipeline that worked, and was told to say everything."""
    made = Guarded(
        "canaries", tmp_path_factory.mktemp("canaries"), encrypted_kafka, encrypted_redis
    )
    made.feed(100)
    ran = made.stream("run", "--until-end", "--debug")
    assert ran.code == 0, ran
    assert made.leaked(ran) == []
    return made


@pytest.mark.parametrize(
    "words",
    ["check", "run --until-end", "status", "status --json", "snapshots list --json",
     "snapshots inspect", "snapshots verify"],
)  # fmt: skip
def test_no_command_says_a_secret(guarded: Guarded, words: str) -> None:
    """With --debug, which shows the clients' own logs."""
    done = guarded.stream(*words.split(), "--debug")

    assert done.code == 0, done
    assert guarded.leaked(done) == []


@pytest.mark.parametrize("wrong", ["kafka's password", "redis' password", "no server"])
def test_no_failure_says_a_secret(guarded: Guarded, wrong: str) -> None:
    """Not the right ones, and not the wrong one that was tried; traceback and all."""
    tried = "wrong-canary-0b5e9d1f77aa42c3"
    port = closed_port()
    environment = {
        "kafka's password": {PASSWORD: tried},
        "redis' password": {URL: guarded.redis.url().replace(guarded.redis.password, tried)},
        "no server": {
            PASSWORD: tried,
            "STREAM__KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            URL: f"redis://streamfold:{tried}@127.0.0.1:{port}/0",
        },
    }[wrong]

    def failing(words: str) -> Done:
        return guarded.stream(*words.split(), "--debug", **environment)

    commands = ("check", "run --until-end", "status", "snapshots verify")
    with ThreadPoolExecutor(len(commands)) as pool:  # each waits for servers until its deadline
        every = dict(zip(commands, pool.map(failing, commands), strict=True))

    for words, done in every.items():
        may_go_on = wrong == "redis' password" and words != "snapshots verify"
        assert done.code in ({0, 69, 78} if may_go_on else {69, 78}), done
        assert guarded.leaked(done, tried) == []


def test_no_record_holds_a_secret(guarded: Guarded) -> None:
    """Key, value, headers and the committed metadata."""
    places = {}
    for channel in Channel:
        for n, record in enumerate(guarded.records(channel)):
            places[f"{channel} {n}"] = repr((record.key, record.value, record.headers)).encode()
    with closing(guarded.kafka.admin()) as admin:
        places["group"] = repr(admin.list_group_offsets(guarded.name)).encode()

    assert len(places) > 200
    assert leaks(places, guarded.secrets) == []


def test_no_snapshot_holds_a_secret(guarded: Guarded) -> None:
    """Neither the keys in Redis, nor what is sealed, nor what is compressed in it."""
    places = {}
    with guarded.redis.raw() as raw:
        for key in raw.scan_iter(f"*{guarded.name}*"):
            places[repr(key)] = raw.dump(key) or b""
            if raw.type(key) == b"string":
                value = raw.get(key) or b""
                assert isinstance(value, bytes)
                places[f"{key!r} inflated"] = b"".join(_inflated(value))

    assert sum(len(value) for name, value in places.items() if "inflated" in name) > 1_000
    assert leaks(places, guarded.secrets) == []


def _inflated(value: bytes) -> Iterator[bytes]:
    start = value.find(zstandard.FRAME_HEADER)
    if start >= 0:
        yield zstandard.ZstdDecompressor().decompress(value[start:])


def test_no_file_of_a_worker_holds_a_secret(guarded: Guarded) -> None:
    """What was left in its folder and its state."""
    files = guarded.project.folder.rglob("*")
    places = {str(path): path.read_bytes() for path in files if path.is_file()}

    assert any(name.endswith("stream.toml") for name in places)
    assert leaks(places, guarded.secrets) == []
