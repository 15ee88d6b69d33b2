"""Where each spoken sentence goes: in its own slot, never over the next one."""

from __future__ import annotations

from dataclasses import dataclass

# The breath between two sentences.
PAUSE = 0.08

# How much earlier than the speaker a long sentence may begin, if there is room.
LEAD = 0.4

# Less than this over its room is taken from the breath: a change of tempo has
# artefacts of its own.
_SPARE = PAUSE / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A spoken sentence in the dubbed track.

    It sounds from `start` for `length` seconds at `tempo` times its natural speed;
    `lost` is the part of its natural length that found no room.
    """

    start: float
    length: float
    tempo: float
    lost: float

    @property
    def end(self) -> float:
        """The instant at which the sentence is over."""
        return self.start + self.length


def fit(
    natural: float, *, start: float, free_from: float, until: float, max_stretch: float
) -> Placement:
    """Place a sentence that takes `natural` seconds and should begin at `start`.

    `free_from` is the end of the sentence placed before, `until` the start of the next
    one or the end of the video. The means, in this order: begin a little early, speak
    faster, and only then lose the end.
    """
    start = max(start, free_from)
    room = max(until - PAUSE - start, 0.0)
    if natural > room:
        earliest = max(free_from + PAUSE, start - LEAD, 0.0)
        start = min(start, max(earliest, start - (natural - room)))
        room = max(until - PAUSE - start, 0.0)
    if natural <= room + _SPARE and start + natural <= until:
        return Placement(start=start, length=natural, tempo=1.0, lost=0.0)
    tempo = min(natural / room, max_stretch) if room > 0 else max_stretch
    length = min(natural / tempo, room)
    # Rounding must not make a sentence that fits exactly look cut.
    lost = max(natural - length * tempo, 0.0)
    return Placement(
        start=start, length=length, tempo=tempo, lost=lost if lost > 1e-6 else 0.0
    )


def note(number: int, placement: Placement) -> str | None:
    """Say what was done to sentence `number`, if anything."""
    done = []
    if placement.tempo > 1:
        done.append(f"spoken {placement.tempo:.2f} times as fast")
    if placement.lost > 0:
        done.append(f"cut short by {placement.lost:.1f} s")
    if not done:
        return None
    return f"sentence {number} at {placement.start:.1f} s: {', '.join(done)}"
