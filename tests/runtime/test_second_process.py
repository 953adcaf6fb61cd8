"""The second process of the trial: however slowly it begins, it gets all of its job."""

import subprocess
import sys
import threading
import time

from stream.runtime.repeating import Answer, _Spawned

SLOW = """
import pickle, sys, time
time.sleep(1.5)  # loads river, on a busy machine
job = pickle.loads(sys.stdin.buffer.read())
from stream.runtime.repeating import Answer
sys.stdout.buffer.write(pickle.dumps(Answer(raised=str(len(job["records"])))))
"""


def test_a_large_job_arrives_whole_where_it_is_read_late() -> None:
    """A thousand events are more than a pipe holds; the first start waited a minute for nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    began_s = time.monotonic()

    answer = _Spawned(process, {"records": "x" * 1_000_000}, threading.Event()).answer()

    assert answer == Answer(raised="1000000")
    assert time.monotonic() - began_s < 50
