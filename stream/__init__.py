"""Online learning on event streams, in production: predict, learn, detect drift, exactly once.

The command line is the way in (`stream --help`); docs/ARCHITECTURE.md says how to read the code.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
