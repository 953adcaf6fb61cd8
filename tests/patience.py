"""How long a test waits before it calls something hung.

A limit is a bound on hanging, not a measure of speed: on a machine with other things to do all
takes ten times as long. What is promised of time is measured as processor time or by order, or
against the much longer wait that it is not.
"""

HANGS_AFTER_S = 240.0
HELD_UP_S = 10.0
"""By which a busy machine may be late with a wait that was promised to be short."""
