"""The mount: on which file system a path lies, and what becomes of it when power, container or network goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mount", "mount_of"]

_MEMORY = {"tmpfs", "ramfs"}
_CONTAINER = {"overlay", "aufs"}
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "beegfs",
    "gpfs",
    "9p",
    "virtiofs",
}


@dataclass(frozen=True, slots=True)
class Mount:
    point: str
    kind: str
    read_only: bool

    @property
    def loses(self) -> str:
        """What is lost when; empty for a disk."""
        if self.kind in _MEMORY:
            return f"lies in memory ({self.kind}): what is not shipped is lost when the host or the pod restarts"
        if self.kind in _CONTAINER:
            return f"lies in the container's own layer ({self.kind}): what is not shipped goes with the container"
        if self.kind in _NETWORK or self.kind.startswith("fuse"):
            return (
                f"lies on a network or user-space file system ({self.kind}): recording stops when it is away, "
                "and whether locks and syncs hold is up to its server"
            )
        return ""


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """The mount that `path` lies on, out of the text of `/proc/PID/mountinfo` (proc(5)); the last one mounted wins."""
    found: Mount | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if len(fields) < 6 or not about:
            continue
        point = _unescaped(fields[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            read_only = "ro" in fields[5].split(",") or "ro" in about[-1].split(",")
            found = Mount(point, about[0], read_only)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
