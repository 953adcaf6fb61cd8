"""Make an environment of pinned packages, and say every few seconds how far it is.

    python scripts/install.py FOLDER LOCK [--slim]

scripts/environment calls it, with the Python that the environment is to have; it needs nothing but
that. The environment counts as made once FOLDER/.installed equals LOCK, which is written last: one
that was broken off is made anew by the next start. With `--slim` it keeps only what runs: no pip,
and none of the tests that numpy and scipy bring.
"""

import fcntl
import platform
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SAID_EVERY_S = 2.0  # something new
REPEATED_EVERY_S = 6.0  # the same again, with the seconds that it has taken
SILENT_S_MAX = 1_800.0  # the largest package (35 MB) over a line of 20 KB a second
UNAVAILABLE = 69  # sysexits.h: the same as the program's own for a server that is away

_PIN = re.compile(r"^[\w.-]+==", re.MULTILINE)


class Failed(Exception):
    """It cannot be made; the text says in one line why, and what to do."""


class Progress:
    """What pip's lines and the installed packages say of how far it is.

    Args:
        site: where the packages go.
        pinned_n: how many the lock names, for every Python and every system.
    """

    def __init__(self, site: Path, pinned_n: int) -> None:
        self._site = site
        self._wanted_n = pinned_n
        self._fetched_n = 0
        self._doing = "asking the package index"
        self._installing: list[str] = []
        self._since_s = self._said_s = time.monotonic()
        self._there_n = self._count()
        self._said = ""
        self.lines: list[str] = []

    def hear(self, line: str) -> None:
        """Take in one line of pip's."""
        self.lines.append(line)
        if line.startswith("Ignoring "):
            self._wanted_n -= 1  # for another Python, or another system
        elif found := re.match(r"Collecting ([\w.-]+)", line):
            self._fetched_n += 1
            self._do(f"fetching {self._fetched_n} of {self._wanted_n}: {found[1]}")
        elif found := re.match(r" +Downloading .*\((.*)\)", line):
            self._do(f"{self._doing} ({found[1]})")
        elif line.startswith("Installing collected packages: "):
            self._installing = line.partition(": ")[2].split(", ")
        elif "WARNING: Retrying" in line:
            self._do(f"{_why_unreachable(line)}; trying again")

    def tell(self) -> None:
        """Say it, if it is time to."""
        if self._installing:
            names = self._installing
            done_n = min(self._count() - self._there_n, len(names) - 1)
            doing = f"installing {done_n + 1} of {len(names)}: {names[done_n]}"
            if doing != self._doing:
                self._do(doing)
        now_s = time.monotonic()
        if self._doing != self._said and now_s - self._said_s >= SAID_EVERY_S:
            say(f"  {self._doing}")
        elif now_s - self._said_s >= REPEATED_EVERY_S:
            say(f"  {self._doing}, {now_s - self._since_s:.0f} s")
        else:
            return
        self._said, self._said_s = self._doing, now_s

    def _do(self, what: str) -> None:
        self._doing, self._since_s = what, time.monotonic()

    def _count(self) -> int:
        return sum(1 for _ in self._site.glob("*.dist-info/RECORD"))


def say(line: str) -> None:
    """For the person who waits; the program's own output comes later, on stdout."""
    print(line, file=sys.stderr, flush=True)


def make(folder: Path, lock: Path, *, slim: bool) -> None:
    """Make the environment, from nothing. Raises: Failed."""
    began_s = time.monotonic()
    text = lock.read_text()
    pinned_n = len(_PIN.findall(text))
    say(f"setting up {folder.name} with Python {platform.python_version()}, once")
    remove(folder)
    say("  making the environment")
    ran = subprocess.run(
        [sys.executable, "-m", "venv", folder], check=False, capture_output=True, text=True
    )
    if ran.returncode:
        last = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()][-1:]
        raise Failed(f"`python -m venv` failed: {''.join(last).strip()}")
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python3.*/site-packages")
    install(python, lock, Progress(site, pinned_n))
    if slim:
        thin_out(python, site)
    (folder / ".installed").write_text(text)
    say(f"  done, {time.monotonic() - began_s:.0f} s")


def install(python: Path, lock: Path, progress: Progress) -> None:
    """Run pip, and tell how far it is. Raises: Failed."""
    # Nothing is compiled, neither C (a fresh machine has no compiler) nor Python: what is imported
    # compiles itself at its first import, which is a tenth of it all.
    command: list[str | Path] = [
        python, "-m", "pip", "install", "--no-input", "--no-color", "--progress-bar=off",
        "--disable-pip-version-check", "--no-compile", "--only-binary=:all:", "--require-hashes",
        "--requirement", lock,
    ]  # fmt: skip
    heard: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as pip:  # fmt: skip
        assert pip.stdout is not None  # noqa: S101  # we asked for the pipe
        threading.Thread(target=_hand_on, args=(pip.stdout, heard), daemon=True).start()
        try:
            _follow(heard, progress)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        raise Failed(_why(progress.lines))


def _hand_on(lines: IO[str], heard: "queue.SimpleQueue[str | None]") -> None:
    for line in lines:
        heard.put(line.rstrip())
    heard.put(None)


def _follow(heard: "queue.SimpleQueue[str | None]", progress: Progress) -> None:
    silent_since_s = time.monotonic()
    while True:
        try:
            line = heard.get(timeout=0.3)
        except queue.Empty:
            if time.monotonic() - silent_since_s > SILENT_S_MAX:
                raise Failed(f"pip said nothing for {SILENT_S_MAX:.0f} s; start again") from None
        else:
            if line is None:
                return
            silent_since_s = time.monotonic()
            progress.hear(line)
        progress.tell()


def _why(lines: list[str]) -> str:
    """Why pip failed, in one line that says what to do; all that it said is kept in a file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="streamfold-pip-", suffix=".log", delete=False
    ) as log:
        log.write("\n".join(lines) + "\n")
    text = "\n".join(lines)
    if unreachable := [line for line in lines if "WARNING: Retrying" in line]:
        why = (
            f"{_why_unreachable(unreachable[-1])}. Is there a network? Behind a proxy, set "
            "HTTPS_PROXY"
        )
    elif "DO NOT MATCH THE HASHES" in text:
        why = "a package that came is not the one that is pinned (its hash differs)"
    elif found := re.search(r"No matching distribution found for (\S+)", text):
        why = (
            f"there is no ready-made {found[1]} for Python {platform.python_version()} on "
            f"{platform.system()} {platform.machine()}; take another: PYTHON=python3.13"
        )
    elif "No space left on device" in text:
        why = "no space left on the disk"
    else:
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines or ["no word"]
        why = f"pip failed: {errors[-1].removeprefix('ERROR: ')}"
    return f"{why} (all that pip said: {log.name})"


def _why_unreachable(line: str) -> str:
    """What keeps pip from the package index, without its exceptions."""
    reasons = {
        "Name or service not known|Temporary failure in name|getaddrinfo": "its name is not found",
        "[Pp]roxy": "the proxy does not let it through",
        "Connection refused": "the connection is refused",
        "CERTIFICATE_VERIFY_FAILED|SSL": "its certificate is not trusted",
        "[Tt]imed out|[Tt]imeout": "no answer in time",
        "unreachable": "the network is unreachable",
    }
    found = (words for pattern, words in reasons.items() if re.search(pattern, line))
    return f"the package index cannot be reached: {next(found, 'the connection breaks')}"


def thin_out(python: Path, site: Path) -> None:
    """Remove what no program runs: a sixth of it."""
    for name in ("numpy", "scipy"):
        for tests in [path for path in (site / name).rglob("tests") if path.is_dir()]:
            shutil.rmtree(tests, ignore_errors=True)  # one may lie in another
    subprocess.run(
        [python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"],
        check=False, capture_output=True,  # without it the environment is larger, and works
    )  # fmt: skip


def is_made(folder: Path, lock: Path) -> bool:
    """Whether it holds what is pinned, and its Python still finds it; as in scripts/environment."""
    stamp, python = folder / ".installed", folder / "bin" / "python"
    if not (stamp.exists() and python.exists() and stamp.read_text() == lock.read_text()):
        return False
    ran = subprocess.run([python, "-c", "import click"], check=False, capture_output=True)
    return ran.returncode == 0


def remove(folder: Path) -> None:
    """Remove an environment, or the link to one; fine if there is none."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Of two starts at once the second waits."""
    with lock.open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start, which sets up the environment")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """The exit code."""
    folder, lock = Path(arguments[0]).absolute(), Path(arguments[1])
    with alone(lock):
        if is_made(folder, lock):
            return 0  # another start has made it meanwhile
        try:
            make(folder, lock, slim="--slim" in arguments)
        except (Failed, OSError) as error:
            remove(folder)
            say(f"cannot set up {folder.name}: {error}")
            return UNAVAILABLE
        except KeyboardInterrupt:
            remove(folder)
            say(f"stopped; nothing is left of {folder.name}")
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
