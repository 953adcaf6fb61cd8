"""Snapshots in Redis: chunks, then a manifest, then the index; whatever is half is never seen.

Keys, all under `streamfold:{PIPELINE}:`; the braces put them into one slot of a cluster::

    P:nSTEP:WRITE:PIECE   a chunk, at most 8 MiB
    P:nSTEP               the manifest: which write's chunks, how many, offset, size, when, topic
    P:index               sorted set of nSTEP, scored by STEP; the last to come and to go

A partition below 0 is written as -1, -2 ...: there is what snapshots of 0, 1 ... share.
A snapshot is known by its step, the `n` of its header: an offset comes again where a topic is made
again. Two writes of one step do not mix: each has its own chunks, and the manifest names one of
them. Until a snapshot is whole its chunks expire: those of a writer that died must not fill the
memory. Keys without the letter `n` are of an earlier layout; they are neither read nor removed.

Whoever can write to Redis may have written any of it. So of a key no more is read than what we
write is long, every number has a bound, a call has an end whatever comes (`metered.py`), and what
is of another type or form is as good as gone: it costs that one snapshot. An index that is none is
made anew by the next save. Of a snapshot only its start is read before its signature is looked at.

Redis 6.2 or newer. All that a user of ours must be permitted, for one pipeline::

    ACL SETUSER streamfold on >PASSWORD resetkeys ~streamfold:{PIPELINE}:* resetchannels
        -@all +getrange +set +persist +unlink +zadd +zrevrange +zrem +ping +hello
"""

from stream.adapters.redis.store import RedisSnapshots
from stream.adapters.redis.words import CALL_TIMEOUT_S, CHUNK_BYTES, UNFINISHED_S

__all__ = ["CALL_TIMEOUT_S", "CHUNK_BYTES", "UNFINISHED_S", "RedisSnapshots"]
