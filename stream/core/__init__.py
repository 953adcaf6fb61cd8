"""The pure core: bytes and values in, values out. No clock, no I/O, no thread, no logging."""
