"""The spool: every pack is written down, with its position, before it is sent; what is not acknowledged is sent again.

A log in segment files. A *group* is all that was taken since the group before: its packs and the caller's mark, in one
frame, so that it is there as a whole or not at all. An *ack* says that a group and all before it are on the stream;
losing one only means to send again. A *state* begins each segment, so that older ones can go once they are sent.

Positions never name two packs: they are read back from the log. Where the log may have lost what was sent already
(``sync=False`` and no clean end: the power may have failed), a new session begins, and with it new positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from levada.ports import Entry
from levada.producer.disk import SUFFIX, Disk
from levada.producer.errors import SpoolError, SpoolFullError
from levada.producer.frames import frame, message_of, scan

SEGMENT_BYTES = 8 * 1024 * 1024
KEEP_BYTES = 4 * 1024 * 1024
"""Groups are kept in memory up to this sum; beyond it they are read back from the log."""


@dataclass(frozen=True, slots=True)
class Pack:
    """One stream record, and how many events it carries."""

    lane: int
    position: int
    rows: int
    entry: Entry


@dataclass(slots=True)
class Group:
    """A group that is not acknowledged: where it stands, and what it holds."""

    number: int
    segment: str
    offset: int
    size: int
    """Of its frame, bytes."""
    packs: int
    rows: int
    entries: list[Entry] | None = None
    """None: they are in the log only."""


@dataclass(slots=True)
class State:
    """What the log says at its end."""

    owner: list[str] = field(default_factory=list)
    session: str = ""
    positions: dict[int, int] = field(default_factory=dict)
    """Lane → position of its next pack in this session."""
    mark: Any = None
    """What the caller gave with the last group."""
    next_group: int = 1
    acked: int = 0
    """Number of the last group that is on the stream, and all before it."""
    trusted: bool = True
    """False: what was sent may have been lost from the log."""


class Spool:
    """The log on one disk. Not for several threads at once: the producer sees to that.

    Args:
        owner: domain and tenant; a log of another owner is refused.
        new_session: makes a name that nothing else ever has.
        max_bytes: of groups that wait.
        sync: each group survives a loss of power before it is sent; else it survives the end of the process only.

    Raises SpoolError when the log is another's, SpoolDamagedError when it cannot be read.
    """

    def __init__(
        self,
        disk: Disk,
        owner: tuple[str, str],
        *,
        new_session: Callable[[], str],
        max_bytes: int,
        sync: bool = True,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._disk, self._max_bytes, self._sync, self._segment_bytes = disk, max_bytes, sync, segment_bytes
        self.waiting: deque[Group] = deque()
        self.waiting_bytes = 0
        self._kept_bytes = 0
        self._broken = ""
        self._last_of: dict[str, int] = {}
        """Segment → number of the last group that began before its end."""
        self._state = self._recovered()
        self.recovered = len(self.waiting)
        if self._state.owner not in ([], list(owner)):
            raise SpoolError(f"the spool belongs to {self._state.owner}: not to {list(owner)}; give each a folder")
        self._state.owner = list(owner)
        if not self._state.session or not self._state.trusted:
            self._state.session, self._state.positions = new_session(), {}
        self._segment, self._size = "", 0
        self._begin_segment()
        self._trim()

    @property
    def session(self) -> str:
        return self._state.session

    @property
    def mark(self) -> Any:
        return self._state.mark

    def position(self, lane: int) -> int:
        """The lane's next."""
        return self._state.positions.get(lane, 0)

    def check_room(self) -> None:
        """Raises SpoolFullError when what waits has reached its limit: so that no pack is made in vain."""
        if self.waiting_bytes >= self._max_bytes:
            self._full()

    def _full(self) -> None:
        raise SpoolFullError(
            f"{len(self.waiting)} groups of {self.waiting_bytes} bytes wait to be sent, the limit is "
            f"{self._max_bytes}: nothing more is taken until the stream answers"
        )

    def append(self, packs: Sequence[Pack], mark: Any) -> None:
        """Write a group down. When it returns, it will be sent, whatever happens to this process.

        Raises:
            SpoolFullError: nothing is written, and nothing was given a position.
            OSError: whether it was written is not known; from then on SpoolError, until the spool is opened again.
        """
        state = self._state
        if self._broken:
            raise SpoolError(self._broken)
        message = {
            "k": "group",
            "g": state.next_group,
            "packs": [[p.lane, p.position, p.rows, p.entry.partition_key, p.entry.data] for p in packs],
            "mark": mark,
        }
        data = frame(message)
        if self.waiting and self.waiting_bytes + len(data) > self._max_bytes:
            self._full()
        if self._size >= self._segment_bytes:
            self._begin_segment()
        group = Group(state.next_group, self._segment, self._size, len(data), len(packs), sum(p.rows for p in packs))
        if self._kept_bytes + len(data) <= KEEP_BYTES:
            group.entries = [p.entry for p in packs]
        self._write(data)
        self._kept_bytes += len(data) if group.entries is not None else 0
        self._take(group, message)
        self._broken = ""

    def _write(self, data: bytes) -> None:
        """Until the group is taken nobody knows whether it is there: to go on could give its positions out twice."""
        self._broken = f"{self._segment}: a write did not end; open the spool again to find out what is there"
        try:
            self._disk.append(self._segment, data)
        except SpoolFullError:
            self._broken = ""
            raise
        if self._sync:
            self._disk.sync(self._segment)
        self._size += len(data)

    def entries(self, group: Group) -> list[Entry]:
        """What a group holds, in order."""
        if group.entries is not None:
            return group.entries
        message = message_of(self._disk.read(group.segment, group.offset, group.size))
        return [Entry(key, data) for _, _, _, key, data in message["packs"]]

    def acknowledge(self, number: int) -> None:
        """This group, and all before it, are on the stream."""
        while self.waiting and self.waiting[0].number <= number:
            group = self.waiting.popleft()
            self.waiting_bytes -= group.size
            if group.entries is not None:
                self._kept_bytes -= group.size
        self._state.acked = max(self._state.acked, number)
        data = frame({"k": "ack", "g": number})
        try:
            self._disk.append(self._segment, data)
        except SpoolFullError:
            return  # a full disk must not stop what empties it; without this the group is only sent again
        self._size += len(data)
        self._trim()

    def close(self) -> None:
        """Write down that nothing is missing, and let go of the disk."""
        try:
            self._disk.append(self._segment, frame({"k": "end"}))
            self._disk.sync(self._segment)
        except SpoolFullError:  # then the next one begins a new session, if it must
            pass
        finally:
            self._disk.close()

    # ------------------------------------------------------------------ the log
    def _take(self, group: Group, message: dict[str, Any]) -> None:
        state = self._state
        self.waiting.append(group)
        self.waiting_bytes += group.size
        for lane, position, *_ in message["packs"]:
            state.positions[lane] = position + 1
        state.mark, state.next_group = message["mark"], group.number + 1
        self._last_of[group.segment] = group.number

    def _recovered(self) -> State:
        self._state = state = State()
        for name in self._disk.names():
            self._last_of[name] = state.next_group - 1
            for offset, size, message in scan(name, self._disk.read(name)):
                match message["k"]:
                    case "state":
                        self._restore(message)
                    case "group":
                        packs = message["packs"]
                        rows = sum(one[2] for one in packs)
                        self._take(Group(message["g"], name, offset, size, len(packs), rows), message)
                    case "ack":
                        state.acked = max(state.acked, message["g"])
                    case _:
                        state.trusted = True
                        continue
                state.trusted = self._written_with_sync
        self.waiting = deque(group for group in self.waiting if group.number > state.acked)
        self.waiting_bytes = sum(group.size for group in self.waiting)
        return state

    _written_with_sync = True

    def _restore(self, message: dict[str, Any]) -> None:
        state = self._state
        state.owner, state.session, state.mark = message["owner"], message["session"], message["mark"]
        state.positions = dict(message["positions"])
        state.next_group, state.acked = message["next"], max(state.acked, message["acked"])
        self._written_with_sync = message["sync"]

    def _begin_segment(self) -> None:
        """A new file, which says at its beginning all that the files before it have said."""
        state = self._state
        names = self._disk.names()
        number = int(names[-1].removesuffix(SUFFIX)) + 1 if names else 1
        data = frame(
            {
                "k": "state",
                "owner": state.owner,
                "session": state.session,
                "positions": list(state.positions.items()),
                "mark": state.mark,
                "next": state.next_group,
                "acked": state.acked,
                "sync": self._sync,
            }
        )
        name = f"{number:012d}{SUFFIX}"
        self._disk.append(name, data)
        # always: the files before it may go now, and it says whether what follows can be trusted
        self._disk.sync(name)
        self._segment, self._size = name, len(data)
        self._last_of[name] = state.next_group - 1

    def _trim(self) -> None:
        """Remove files of which nothing waits any more."""
        for name in sorted(self._last_of):
            if name == self._segment or self._last_of[name] > self._state.acked:
                return
            self._disk.remove(name)
            del self._last_of[name]
