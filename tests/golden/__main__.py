"""Writes the golden files of the installed river: `python -m tests.golden`, in the repository.

Once for each river that is supported, and again only when a change of results is wanted: say it in
the changelog then, since every running pipeline will have to rebuild.
"""

from tests.golden.recordings import FOLDER, MODELS, record, write_log

FOLDER.mkdir(exist_ok=True)
write_log()
for name in MODELS:
    record(name)
