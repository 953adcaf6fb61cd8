"""docs/examples/kubernetes.yaml, held to the code that it deploys."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.cli import main
from stream.config import Settings, load
from stream.runtime.supervision import sizing
from stream.runtime.supervision.worker_link import DRAIN_S, ORPHAN_GRACE_S

REPOSITORY = Path(__file__).resolve().parents[1]
MANIFEST = REPOSITORY / "docs" / "examples" / "kubernetes.yaml"


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """The manifest's documents by kind; there is one of each."""
    found = list(yaml.safe_load_all(MANIFEST.read_text()))
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


@pytest.fixture(scope="module")
def pod(parts: dict[str, Any]) -> Any:
    """What every pod is."""
    return parts["StatefulSet"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    """Its only container."""
    (found,) = pod["containers"]
    return found


def settings_in(parts: dict[str, Any], container: Any, folder: Path) -> Settings:
    """What the code reads from the ConfigMap under the pod's environment."""
    config = folder / "stream.toml"
    config.write_text(parts["ConfigMap"]["data"]["stream.toml"])
    secrets = {"redis-url": "rediss://redis:6379/0", "kafka-password": "p", "signing-key": "k" * 64}
    environ = {}
    for variable in container["env"]:
        value = variable.get("value") or f"{parts['StatefulSet']['metadata']['name']}-2"
        if variable["name"].endswith("_FILE"):
            assert value.startswith(mounted(container, "secrets"))
            name = Path(value).name
            (folder / name).write_text(secrets.pop(name))
            value = str(folder / name)
        environ[variable["name"]] = value
    assert secrets == {}
    return load(config, environ=environ)


def mounted(container: Any, volume: str) -> str:
    """Where a volume is in the container."""
    (path,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == volume]
    return str(path)


def test_the_configuration_and_every_variable_are_the_codes(
    parts: dict[str, Any], container: Any, tmp_path: Path
) -> None:
    """An unknown name or a value that does not fit would be an error; secrets come from files."""
    settings = settings_in(parts, container, tmp_path)

    assert settings.worker.instance == "flights-2"
    assert settings.redis.url.get_secret_value() == "rediss://redis:6379/0"
    assert settings.signing_key_bytes() == b"k" * 64
    assert settings.kafka.options.keys() >= {"sasl_plain_username", "sasl_plain_password"}
    assert mounted(container, "config") == "/etc/stream"


def test_the_secret_that_the_comment_makes_is_the_one_that_is_mounted(
    pod: Any, container: Any
) -> None:
    """By its name and by each of its keys."""
    made = re.search(r"create secret generic (\S+)((?:.|\n)*?)\napiVersion", MANIFEST.read_text())
    assert made
    (name,) = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
    files = {Path(v["value"]).name for v in container["env"] if v["name"].endswith("_FILE")}

    assert made[1] == name
    assert set(re.findall(r"--from-literal=([a-z-]+)=", made[2])) == files


def test_the_commands_are_there_and_take_these_words(container: Any) -> None:
    """The container's and the probe's, parsed by the command line itself."""
    probe = container["readinessProbe"]
    program, *checking = probe["exec"]["command"]
    assert program == "stream"
    parsed = {}
    for words in (container["args"], checking):
        context = main.commands[words[0]].make_context(words[0], list(words[1:]))
        parsed[words[0]] = context.params

    assert str(parsed["run"]["path"]) == str(parsed["status"]["path"]) == "/etc/stream/stream.toml"
    assert sizing.asked(parsed["run"]["workers"]) is None
    assert parsed["status"]["progress_within"] < probe["timeoutSeconds"]


def test_a_pod_is_given_longer_than_its_workers_need_to_stop(pod: Any) -> None:
    """Killed earlier they would be restored and replayed by the next owner for nothing."""
    assert pod["terminationGracePeriodSeconds"] >= DRAIN_S + 2 * ORPHAN_GRACE_S


def test_instances_are_the_pods_stable_names(container: Any) -> None:
    """And leave room for the number of the worker."""
    (instance,) = [v for v in container["env"] if v["name"] == "STREAM__WORKER__INSTANCE"]

    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert sizing.names("flights-2", host="", workers=2) == ("flights-2-0", "flights-2-1")


def test_the_selectors_find_the_pods(parts: dict[str, Any]) -> None:
    """Service, StatefulSet and PodDisruptionBudget speak of the same ones."""
    labels = parts["StatefulSet"]["spec"]["template"]["metadata"]["labels"]

    assert parts["Service"]["spec"]["selector"] == labels
    assert parts["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert parts["StatefulSet"]["spec"]["serviceName"] == parts["Service"]["metadata"]["name"]
    assert parts["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_the_container_has_the_images_user_and_no_rights(pod: Any, container: Any) -> None:
    """As docker-compose.yml: nothing to write to but /tmp."""
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    uid = re.search(r"useradd .*--uid (\d+)", dockerfile)
    assert uid

    assert pod["securityContext"]["runAsUser"] == int(uid[1])
    (mode,) = [v["secret"]["defaultMode"] for v in pod["volumes"] if "secret" in v]
    # Not the world's to read; root owns the files, so the user needs their group.
    assert mode == 0o440
    assert pod["securityContext"]["fsGroup"] == int(uid[1])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    assert set(mounts) == {v["name"] for v in pod["volumes"]}
    assert [name for name, mount in mounts.items() if not mount.get("readOnly")] == ["tmp"]
