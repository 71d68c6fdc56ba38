"""Files of a spool: append, sync, read, cut, remove. A folder, or memory where nothing shall outlive the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from levada.producer.errors import SpoolBusyError, SpoolFullError

LOCK = "lock"
SUFFIX = ".log"


class Disk(Protocol):
    """Append-only files by name."""

    def names(self) -> list[str]:
        """Ascending."""

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file; it is made when it is not there.

        Raises SpoolFullError when there is no room: the file is as it was before.
        """

    def sync(self, name: str) -> None:
        """Return when the file, and that it is there, would survive a loss of power."""

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        """``size`` bytes from offset on; all that follow for -1."""

    def remove(self, name: str) -> None:
        """The file must be there."""

    def close(self) -> None:
        """Let another process have it."""


class FolderDisk:
    """A folder of one process: a lock keeps others out until ``close``, or until the process ends, however it ends.

    Raises SpoolBusyError when another process has it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = _locked(folder / LOCK)
        self._open: tuple[str, int] | None = None

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob(f"*{SUFFIX}"))

    def append(self, name: str, data: bytes) -> None:
        file = self._file(name)
        before = os.lseek(file, 0, os.SEEK_END)
        try:
            view = memoryview(data)
            while view:  # a write may be cut short
                view = view[os.write(file, view) :]
        except BaseException as err:
            os.ftruncate(file, before)  # nothing may ever stand behind half a frame
            if not isinstance(err, OSError):
                raise
            raise SpoolFullError(f"{self._folder / name}: cannot write {len(data)} bytes: {err.strerror}") from err

    def sync(self, name: str) -> None:
        os.fsync(self._file(name))

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        with (self._folder / name).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def remove(self, name: str) -> None:
        if self._open and self._open[0] == name:
            self._shut()
        (self._folder / name).unlink()

    def close(self) -> None:
        self._shut()
        os.close(self._lock)

    def _file(self, name: str) -> int:
        if self._open and self._open[0] == name:
            return self._open[1]
        self._shut()
        path = self._folder / name
        new = not path.exists()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._open = (name, file)
        if new:
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return file

    def _shut(self) -> None:
        if self._open:
            os.close(self._open[1])
            self._open = None


def _locked(path: Path) -> int:
    try:
        import fcntl
    except ModuleNotFoundError as err:
        raise SpoolBusyError("a spool folder needs file locks as POSIX has them: this system has none") from err
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(file)
        raise SpoolBusyError(f"{path.parent}: another process sends from this spool folder") from err
    return file


class MemoryDisk:
    """Files in memory: for a producer without a folder, and for tests."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}

    def names(self) -> list[str]:
        return sorted(self.files)

    def append(self, name: str, data: bytes) -> None:
        self.files.setdefault(name, bytearray()).extend(data)

    def sync(self, name: str) -> None:
        pass

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        return bytes(self.files[name][offset : None if size < 0 else offset + size])

    def remove(self, name: str) -> None:
        del self.files[name]

    def close(self) -> None:
        pass
