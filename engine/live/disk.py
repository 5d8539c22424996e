"""What a run asks of the disk under it: that it is this machine's own, and that there is room left."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import RunError

LOW_DISK = 256 << 20  # bytes free under which no new order is taken
BALLAST = 64 << 20  # bytes set aside, given back when the disk is full so that what ends a run can still be written
# Locks, shared memory or the order of writes are not those of a local disk there, and SQLite's log needs all three.
NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
NETWORK |= {"ocfs2", "orangefs", "pvfs2", "smb3", "smbfs"}
LOCAL_FUSE = {"fuse.fuse-overlayfs", "fuse.ext4"}
MOUNTS = Path("/proc/self/mountinfo")


def disk_is_low(path: Path) -> bool:
    """Whether less than ``LOW_DISK`` bytes are free for us on the file system of ``path``, which must exist."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize < LOW_DISK


def set_ballast_aside(folder: Path) -> None:
    """Fill ``folder/ballast`` with blocks of the disk that ``release_ballast`` gives back.

    Raises
    ------
    RunError
        If there is not even room for the ballast.
    """
    file = os.open(folder / "ballast", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(file, 0, BALLAST)
    except OSError as error:
        (folder / "ballast").unlink()
        raise RunError(
            f"{folder}: no room for {BALLAST >> 20} MiB of ballast ({error.strerror}); "
            f"free {LOW_DISK >> 20} MiB there or name another folder"
        ) from None
    finally:
        os.close(file)


def release_ballast(folder: Path) -> None:
    """Give the ballast back, so that the last records of a full disk find room."""
    (folder / "ballast").unlink(missing_ok=True)


def refuse_network_disk(path: Path) -> None:
    """Raise RunError if ``path`` (or the folder that will hold it) lies on a file system of another machine."""
    kind = file_system(path)
    if kind in NETWORK or (kind.startswith("fuse.") and kind not in LOCAL_FUSE):
        raise RunError(
            f"{path} lies on {kind}, a network file system, where a crash can lose what was written; "
            "name a folder on a local disk"
        )


def file_system(path: Path) -> str:
    """Type of the file system that ``path`` lies on ("ext4"); "" where the system does not say."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place, best, kind = path.resolve(), -1, ""
    for mount in mounts:  # "36 35 98:0 /root /mount/point options [optional] - type source options"
        before, _, after = mount.partition(" - ")
        point = Path(before.split()[4].encode("utf-8", "surrogateescape").decode("unicode_escape"))
        if len(point.parts) >= best and place.is_relative_to(point):  # at equal length the later mount covers
            best, kind = len(point.parts), after.split()[0]
    return kind


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk: a new or renamed file is not durable before that."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
