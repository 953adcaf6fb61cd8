"""The second process of the trial: however slowly it begins, it gets all of its job."""

import subprocess
import sys
import threading
import time
from importlib.util import find_spec

from stream.runtime.repeated_fold import Answer
from stream.runtime.repeating import _Spawned
from tests.conftest import skip_or_fail

SLOW = """
import pickle, sys, time
time.sleep(1.5)  # loads river, on a busy machine
job = pickle.loads(sys.stdin.buffer.read())
from stream.runtime.repeated_fold import Answer
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


MOVED = """
import datetime as dt, gc, pickle, time
from datetime import date, datetime
class Own(datetime):
    pass
before, began_s, size = datetime.now(), time.time(), datetime.__basicsize__
from stream.runtime.second_process import AHEAD_S, other_clock
other_clock()
assert dt.datetime is datetime and dt.date is date and datetime.__basicsize__ == size
ahead = dt.timedelta(seconds=AHEAD_S)
copied = pickle.loads(pickle.dumps(datetime.now()))
for now in (datetime.now(), datetime.today(), Own.now(), copied):
    assert ahead <= now - before < ahead + dt.timedelta(hours=1), now
assert type(Own.now()) is Own and datetime.now(dt.UTC).tzinfo is dt.UTC
assert abs(time.time() - began_s - AHEAD_S) < 3600 and date.today() > before.date()
%s
gc.collect()
"""


def _ends_well(source: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done


def test_the_clock_is_moved_and_the_class_of_the_times_is_not() -> None:
    """Compiled code builds on its layout, and whoever imported it before has it too."""
    _ends_well(MOVED % "")


def test_what_a_model_of_sklearn_loads_can_be_loaded_in_the_second_process() -> None:
    """Pandas' times are compiled on Python's: on another class the process ended with -11."""
    if find_spec("pandas") is None or find_spec("sklearn") is None:
        skip_or_fail("scikit-learn", "river.compat wants it, and pandas is loaded with it")
    _ends_well(MOVED % "import pandas; from river import compat; pandas.Timestamp.now()")
