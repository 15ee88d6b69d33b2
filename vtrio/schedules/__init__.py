"""When to ask next.

A schedule is a value with one method, `delay`, that users can implement; see
`Schedule`. What learns takes in observations separately; see `History`.

How `Learned` learns, each step in a module of its own: `_durations` makes a
distribution of what polls have seen, `_inspection` finds the ages at which looks at it
cost least, `_history` remembers the jobs of each class, `_regime` notices when they are
no longer what they were. The sources of the formulas stand there.
"""

from __future__ import annotations

from .._names import publish
from ._base import History, Observation, PollState, Schedule
from ._exponential import Exponential
from ._fixed import Fixed
from ._history import Belief, DurationHistory, Followed, HistoryStatistics
from ._inspection import Inspection
from ._learned import Learned

__all__ = [
    "Belief",
    "DurationHistory",
    "Exponential",
    "Fixed",
    "Followed",
    "History",
    "HistoryStatistics",
    "Inspection",
    "Learned",
    "Observation",
    "PollState",
    "Schedule",
]

publish(Exponential, Fixed, Learned, Schedule)
