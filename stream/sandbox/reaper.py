"""Outlives its parent by a moment, to remove what the parent left behind.

`Guard` starts this file as a process of its own. Over stdin come lines of JSON,
`[verb, kind, name]` with `add` or `remove`; each is answered by an empty line. When the parent
closes the pipe or dies, even by SIGKILL, everything still listed is removed: processes (the name
is a process group's id), then containers (a label's value), then folders.

Not PR_SET_PDEATHSIG: that fires when the *thread* that started the child ends, takes no
grandchildren along, and removes neither folders nor containers.
"""

import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

CONTAINER_LABEL = "streamfold.sandbox"
PARENT_LOOKED_AT_EVERY_S = 1.0
FOLDER_REMOVED_WITHIN_S = 10.0  # a process that was just killed may still be writing
CONTAINERS_LOOKED_FOR_S = 3.0  # the engine may still be making one for a parent that is gone


def listed_until_parent_ends(parent_pid: int) -> list[tuple[str, str]]:
    """Follow the parent's `add` and `remove`; what was left when it ended, oldest first."""
    listed: list[tuple[str, str]] = []
    pending = b""
    # A forked child of the parent may hold the pipe open, so the parent's death is looked at too.
    while os.getppid() == parent_pid:
        if not select.select([0], [], [], PARENT_LOOKED_AT_EVERY_S)[0]:
            continue
        received = os.read(0, 65_536)
        if not received:
            break
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            verb, kind, name = json.loads(line)
            if verb == "add":
                listed.append((kind, name))
            else:
                listed.remove((kind, name))
            os.write(1, b"\n")
    return listed


def kill_group(group_id: int) -> None:
    """SIGKILL a process group; fine if it is gone."""
    try:
        os.killpg(group_id, signal.SIGKILL)
    except ProcessLookupError:
        return


def remove_containers(label_value: str) -> None:
    """Remove every container that carries the label, also one that appears within seconds."""
    from testcontainers.core.docker_client import (  # noqa: PLC0415  # only where Docker was used
        DockerClient,
    )

    containers = DockerClient().client.containers
    deadline = time.monotonic() + CONTAINERS_LOOKED_FOR_S
    while True:
        for container in containers.list(
            all=True, filters={"label": f"{CONTAINER_LABEL}={label_value}"}, ignore_removed=True
        ):
            container.remove(force=True, v=True)
        if time.monotonic() > deadline:
            return
        time.sleep(0.5)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all it holds, again and again until it stays away."""
    deadline = time.monotonic() + FOLDER_REMOVED_WITHIN_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def main() -> None:
    """Wait for the parent's end, then remove what is left."""
    # Who ends a whole group of processes must not end the one that cleans up after them.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    listed = listed_until_parent_ends(int(sys.argv[1]))
    for kind, name in listed:
        if kind == "process":
            kill_group(int(name))
    for kind, name in listed:
        if kind == "containers":
            remove_containers(name)
    for kind, name in listed:
        if kind == "folder":
            remove_folder(Path(name))


if __name__ == "__main__":
    main()
