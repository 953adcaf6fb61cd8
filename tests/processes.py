"""What the kernel says of processes."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> set[int]:
    """The processes that its main thread started and that run."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return {each for each in map(int, path.read_text().split()) if alive(each)}
