"""Stop signals, in a process of its own each."""

import subprocess
import sys

HEARD_WITHIN_S = 240.0

PRELUDE = """
import os, signal, threading
from stream.runtime.signals import listen

def receive(number):
    os.kill(os.getpid(), number)  # its handler runs before the next line

"""


def _ends(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=HEARD_WITHIN_S,
        check=False,
    )


def test_a_signal_is_heard_where_the_main_thread_has_the_lock_that_it_takes() -> None:
    """As within `Event.wait`: a worker that rested stood still, once in some thousand stops."""
    ended = _ends("""
lock = threading.Lock()

class Stopping(threading.Event):
    def set(self):
        with lock:
            super().set()

stopping = Stopping()
listen(stopping)
with lock:
    receive(signal.SIGTERM)
print(stopping.wait(10))
""")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_signals_end_sleeps_that_never_end() -> None:
    """The event's own lock, and several hundred signals at any moment."""
    ended = _ends("""
import random

from stream.runtime.clock import SystemClock

for _ in range(200):
    stopping = threading.Event()
    listen(stopping)
    clock = SystemClock(stopping)
    threading.Timer(random.random() * 0.01, receive, [signal.SIGINT]).start()
    while not stopping.is_set():
        clock.sleep(0)
print("all")
""")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "all\n", "")


def test_a_second_signal_ends_the_process_at_once() -> None:
    """After what must be done before; a main thread that hangs does not keep it."""
    ended = _ends("""
listen(threading.Event(), at_once=lambda: print("killed", flush=True))
receive(signal.SIGTERM)
receive(signal.SIGINT)
threading.Event().wait()
""")

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "killed\n", "")
