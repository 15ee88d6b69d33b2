"""Taking a stream of server-sent events apart, as the WHATWG text says, and bounded.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

from .._errors import BadAnswer

EVENT_STREAM = "text/event-stream"
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its data, and the last id that was told with or before it."""

    data: bytes
    last_id: bytes


class EventReader:
    """Makes events of what comes over the wire, in whichever pieces.

    Other types of events than the plain one are left out, and so is `retry`: when to
    come again is for whoever listens to decide.

    Args:
        limit: bytes that one event may have, and a line.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # the beginning of one, in pieces
        self._length = 0
        self._is_first = True
        self._ended_in_cr = False
        self._data: list[bytes] = []
        self._size = 0
        self._type = b""
        self._told_id = b""
        self.last_id = b""
        """The id that was told last, with an event or by itself."""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take in what has come, and return the events that are whole now.

        Raises:
            BadAnswer: an event is longer than allowed.
        """
        # A line ends in CR, LF or both, and a piece may end between the two.
        if self._ended_in_cr:
            piece = piece.removeprefix(b"\n")
        self._ended_in_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = piece.split(b"\n")
        self._line.append(first)
        self._length += len(first)
        if self._length + self._size > self._limit:
            raise self._too_long()
        if not others:
            return []
        *lines, rest = [b"".join(self._line), *others]
        self._line, self._length = [rest], len(rest)
        events = []
        for line in lines:
            if self._is_first:
                self._is_first = False
                line = line.removeprefix(_BOM)  # noqa: PLW2901
            if line:
                self._take_in(line)
                continue
            self.last_id = self._told_id
            if self._data and self._type in {b"", b"message"}:
                data = b"\n".join(self._data)
                events.append(ServerSentEvent(data, self.last_id))
            self._data, self._size, self._type = [], 0, b""
        if self._length + self._size > self._limit:
            raise self._too_long()
        return events

    def _take_in(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._size += len(value) + 1
                if self._size > self._limit:
                    raise self._too_long()
            case b"id" if b"\0" not in value:
                self._told_id = value
            case b"event":
                self._type = value
            case _:
                pass  # a comment, `retry`, or what is to come

    def _too_long(self) -> BadAnswer:
        return BadAnswer(f"an event of the stream is longer than {self._limit} bytes")
