"""A state as bytes: pickled, sealed, and read again with care."""
