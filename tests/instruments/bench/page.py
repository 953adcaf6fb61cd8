"""docs/performance.md: a run writes what stands between its markers, the rest is by hand."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "performance.md"


def put(section: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between a section's markers. Raises: ValueError: there are none."""
    begin, end = f"<!-- bench {section}: begin -->", f"<!-- bench {section}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    before = page.read_text()
    if not pattern.search(before):
        raise ValueError(f"{page.name} has no markers for {section}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", before))
