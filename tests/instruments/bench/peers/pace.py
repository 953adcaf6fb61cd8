"""How often the loops commit: the same for all that can be told."""

BATCH = 1_000
"""Events in a commit, at most."""

INTERVAL_S = 0.2
"""Between two commits, at most: our own default."""

GAP_S = 0.02
"""Between two commits that overlap with learning (group commit), at least."""

FETCH_WAIT_MS = 50
"""How long a broker may wait for more before it answers a fetch."""
