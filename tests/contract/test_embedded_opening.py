"""Several processes that open one file for the first time, at the same moment."""

import subprocess
import sys
from pathlib import Path

from tests.patience import HELD_UP_S

PROCESSES_N = 3
FILES_N = 100

OPENER = """
import sys
from pathlib import Path
from stream.adapters.embedded.database import Database
for line in sys.stdin:
    database = Database(Path(line.strip()))
    with database.writing() as connection:
        connection.execute("SELECT count(*) FROM topics").fetchone()
    database.close()
    print("opened", flush=True)
"""


def test_processes_that_make_one_file_at_once_all_open_it(tmp_path: Path) -> None:
    """None is told that another holds the file, nor that it is another program's.

    Each began so in some of a hundred tries: SQLite doesn't wait while a journal is changed, and
    a file that is half made has tables before it has our mark.
    """
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(PROCESSES_N)
    ]  # fmt: skip
    try:
        for n in range(FILES_N):
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.write(f"{tmp_path / str(n)}\n")
                opener.stdin.flush()
            for opener in openers:
                assert opener.stdout is not None
                if opener.stdout.readline() != "opened\n":
                    _, why = opener.communicate(timeout=HELD_UP_S)
                    raise AssertionError(why)
    finally:
        for opener in openers:
            opener.kill()
            opener.communicate()
