"""The child that pickles: what it gives, and that it can hang or die without harm."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stream.errors import Retryable
from stream.runtime.forking import CAN_FORK, ForkedCopy

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="forks beside threads are for Linux only")

BIG = b"x" * (3 << 20)


def _sleep() -> bytes:
    time.sleep(60)
    return b""


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_what_the_child_pickles_comes_back_whole() -> None:
    """More than a pipe holds, and how long it took; no child is left."""
    copy = ForkedCopy(lambda: BIG)

    payload, took_s = copy.payload()

    assert payload == BIG
    assert 0 <= took_s < 60
    assert _is_gone(copy.pid)


def test_it_is_the_state_of_the_moment_of_the_fork() -> None:
    """The parent goes on changing it."""
    state = [1]
    copy = ForkedCopy(lambda: bytes(state))
    state.append(2)

    assert copy.payload()[0] == b"\x01"


def test_the_child_holds_nothing_else_of_its_parent(tmp_path: Path) -> None:
    """A lock or a connection that it kept would outlive a parent that is killed."""
    with (tmp_path / "lock").open("w"):
        open_files = Path("/proc/self/fd")
        copy = ForkedCopy(lambda: b",".join(os.fsencode(fd.name) for fd in open_files.iterdir()))

        fds = copy.payload()[0].split(b",")

    assert len([fd for fd in fds if int(fd) > 2]) == 2  # its pipe, and the listing itself


def test_a_child_that_raises_is_a_failed_copy() -> None:
    """It says nothing itself: not even its traceback."""
    copy = ForkedCopy(lambda: bytes(1 // 0))

    with pytest.raises(Retryable, match="died"):
        copy.payload()
    assert _is_gone(copy.pid)


def test_a_child_that_hangs_is_ended_at_its_deadline() -> None:
    """SIGSTOP, a lock that is never given back, a swapping machine: the parent goes on."""
    copy = ForkedCopy(lambda: BIG, deadline_s=0.5)
    os.kill(copy.pid, signal.SIGSTOP)

    with pytest.raises(Retryable, match="hangs"):
        copy.payload()
    assert _is_gone(copy.pid)


def test_a_copy_that_is_not_wanted_any_more_ends_at_once() -> None:
    """Whoever waits for it, in another thread, is told; after its end it does nothing."""
    held, copy = threading.Event(), ForkedCopy(_sleep)
    heard: list[Retryable] = []

    def wait() -> None:
        held.set()
        try:
            copy.payload()
        except Retryable as error:
            heard.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    held.wait(10)
    copy.cancel()
    waiting.join(10)
    copy.cancel()

    assert [str(error) for error in heard] == ["the process that pickles a snapshot died"]
    assert _is_gone(copy.pid)


def test_where_no_process_can_be_had_the_loop_is_told() -> None:
    """`fork` fails where the user may have no more processes, or memory."""
    program = (
        "import os, resource, sys\n"
        "from stream.errors import Retryable\n"
        "from stream.runtime.forking import ForkedCopy\n"
        "os.fork = lambda: (_ for _ in ()).throw(BlockingIOError(11, 'no more processes'))\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "try:\n"
        "    ForkedCopy(lambda: b'')\n"
        "except Retryable as error:\n"
        "    print(error, len(os.listdir('/proc/self/fd')) - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "no process for a snapshot: [Errno 11] no more processes 0"
