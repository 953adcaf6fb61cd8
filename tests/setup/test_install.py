"""The first start on a fresh machine: scripts/environment and scripts/install.py."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UNAVAILABLE = 69
TAKES_S_MAX = 240  # a bound on hanging: `python -m venv` alone takes 20 s on a busy machine


def test_the_small_locks_pin_what_the_tests_ran_with() -> None:
    """What the demo and the worker install is in the whole lock: same versions, same hashes."""
    whole, demo, worker = (
        _pins(REPOSITORY / "scripts" / f"requirements{part}.txt")
        for part in ("", "-demo", "-worker")
    )

    assert demo.items() <= whole.items()
    assert worker.items() <= demo.items()
    assert not {"ruff", "mypy", "pytest", "matplotlib", "confluent-kafka"} & {
        pin.partition("==")[0] for pin in demo
    }


def _pins(lock: Path) -> dict[str, tuple[str, ...]]:
    """`name==version ; marker` -> its hashes."""
    pins = re.findall(
        r"^(\S+==[^\\\n]+?) \\\n((?:    --hash=\S+(?: \\)?\n?)+)", lock.read_text(), re.MULTILINE
    )
    return {pin: tuple(re.findall(r"--hash=(\S+)", hashes)) for pin, hashes in pins}


class Place:
    """A copy of the scripts, and a package index that is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages = root / "packages"
        (root / "scripts").mkdir()
        self.packages.mkdir()
        for name in ("environment", "install.py"):
            (root / "scripts" / name).write_text((REPOSITORY / "scripts" / name).read_text())
        # What is looked for in an environment, and one more.
        pins = [self._wheel("click", "1.0"), self._wheel("river", "2.0")]
        self.lock = root / "scripts" / "requirements-demo.txt"
        self.lock.write_text("".join(pins))
        (root / "scripts" / "requirements.txt").write_text("".join([*pins, "# and linters\n"]))

    def _wheel(self, name: str, version: str) -> str:
        path = self.packages / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            wheel.writestr(f"{info}/METADATA", meta)
            tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{info}/WHEEL", tags)
            wheel.writestr(f"{info}/RECORD", "")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"

    def begin(self, **variables: str) -> subprocess.Popen[str]:
        """What scripts/demo does first; then it says which Python it would run."""
        script = ". scripts/environment && make_demo_environment && command -v python"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.packages)}
        own = {"PYTHON": sys.executable, "TMPDIR": str(self.root)}
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.root, env=kept | own | (offline | variables if variables else offline),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def start(self, **variables: str) -> tuple[int, str, list[str]]:
        """`begin`, and wait. Returns: exit code, stdout, lines of stderr."""
        with self.begin(**variables) as running:
            out, said = running.communicate(timeout=TAKES_S_MAX)
        return running.returncode, out.strip(), said.splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where nothing is installed yet."""
    return Place(tmp_path)


def test_a_first_start_says_what_it_does_and_a_second_says_nothing(place: Place) -> None:
    """The environment holds what is pinned and no pip; made once, it is believed."""
    code, python, said = place.start()

    assert code == 0, said
    assert python == str(place.root / ".venv-demo" / "bin" / "python")
    assert said[0].startswith("setting up .venv-demo with Python 3.")
    assert said[-1].startswith("  done, ")
    site = next((place.root / ".venv-demo" / "lib").glob("python3.*/site-packages"))
    assert (site / "click.py").exists()
    assert (site / "river.py").exists()
    assert not (site / "pip").exists()
    assert place.start() == (0, python, [])


def test_a_whole_environment_is_used_if_it_is_there(place: Place) -> None:
    """Who has run the tests needs no second one."""
    whole = place.root / "scripts" / "requirements.txt"
    ran = subprocess.run(
        [sys.executable, "scripts/install.py", ".venv", whole], cwd=place.root, check=False,
        env=os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place.packages)},
        capture_output=True, text=True, timeout=TAKES_S_MAX,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr

    assert place.start() == (0, str(place.root / ".venv" / "bin" / "python"), [])


def test_without_network_it_says_so_and_leaves_nothing_half_made(place: Place) -> None:
    """One line at the end, exit 69; the next start begins anew and succeeds."""
    index = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:1/"}

    code, _, said = place.start(**index, PIP_RETRIES="1")

    assert code == UNAVAILABLE
    assert said[-1].startswith(
        "cannot set up .venv-demo: the package index cannot be reached: the connection is refused."
    )
    assert "Traceback" not in "".join(said)
    assert not (place.root / ".venv-demo").exists()
    assert place.start()[0] == 0


def test_a_package_without_a_wheel_is_named(place: Place) -> None:
    """For a Python that is too new, or a system without wheels: no compiler is started."""
    next(place.packages.glob("river-*.whl")).rename(place.packages / "river-2.0.tar.gz")

    code, _, said = place.start()

    assert code == UNAVAILABLE
    assert "there is no ready-made river==2.0 for Python 3." in said[-1]
    assert not (place.root / ".venv-demo").exists()


def test_another_package_than_the_pinned_one_is_refused(place: Place) -> None:
    """Its hash differs."""
    place.lock.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", place.lock.read_text()))

    code, _, said = place.start()

    assert code == UNAVAILABLE
    assert "is not the one that is pinned (its hash differs)" in said[-1]


def test_killed_half_way_it_begins_anew(place: Place) -> None:
    """A half environment has no stamp, so nobody believes it."""
    with place.begin() as running:
        deadline_s = time.monotonic() + TAKES_S_MAX
        while not (place.root / ".venv-demo" / "bin").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert (place.root / ".venv-demo").exists()

    code, _, said = place.start()

    assert code == 0
    assert said[0].startswith("setting up .venv-demo")


def test_an_environment_whose_python_is_gone_is_made_anew(place: Place) -> None:
    """The system's Python was upgraded, or the folder was made in a container."""
    assert place.start()[0] == 0
    (place.root / ".venv-demo" / "bin" / "python").unlink()

    code, _, said = place.start()

    assert code == 0
    assert said[0].startswith("setting up .venv-demo")


def test_two_first_starts_at_once_make_it_once(place: Place) -> None:
    """The second waits for the first, and finds it made."""
    with place.begin() as one, place.begin() as other:
        said = [running.communicate(timeout=TAKES_S_MAX)[1] for running in (one, other)]

    assert (one.returncode, other.returncode) == (0, 0), said
    assert "".join(said).count("setting up .venv-demo") == 1
