"""Wait for video translation jobs from trio programs.

Promptly, with few requests, and never longer than told to. The names below are the
public interface; they are imported when they are first touched, so that
`vtrio --version` and the plugins of tools load neither trio nor an HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import importer
from ._version import __version__ as __version__

if TYPE_CHECKING:
    from ._errors import BadAnswer as BadAnswer
    from ._errors import CursorExpired as CursorExpired
    from ._errors import DamagedHistory as DamagedHistory
    from ._errors import GaveUp as GaveUp
    from ._errors import JobCancelled as JobCancelled
    from ._errors import JobEnded as JobEnded
    from ._errors import JobFailed as JobFailed
    from ._errors import JobNotFound as JobNotFound
    from ._errors import NoAnswer as NoAnswer
    from ._errors import Redirected as Redirected
    from ._errors import Refused as Refused
    from ._errors import RemoteError as RemoteError
    from ._errors import RequestTimedOut as RequestTimedOut
    from ._errors import ServerBusy as ServerBusy
    from ._errors import TransientError as TransientError
    from ._errors import Unauthorized as Unauthorized
    from ._errors import Unreachable as Unreachable
    from ._errors import VtrioError as VtrioError
    from ._errors import WaitTimeout as WaitTimeout
    from ._governor import Governor as Governor
    from ._governor import GovernorStatistics as GovernorStatistics
    from ._job import Job as Job
    from ._job import JobProblem as JobProblem
    from ._job import JobResult as JobResult
    from ._job import JobStatus as JobStatus
    from ._many import Outcomes as Outcomes
    from ._many import Updates as Updates
    from ._outcomes import FleetStatistics as FleetStatistics
    from ._outcomes import JobUpdate as JobUpdate
    from ._outcomes import Outcome as Outcome
    from ._receipt import Delay as Delay
    from ._receipt import DelayReason as DelayReason
    from ._receipt import Receipt as Receipt
    from ._source import Answer as Answer
    from ._source import Capabilities as Capabilities
    from ._source import StatusSource as StatusSource
    from ._stalls import JobPhase as JobPhase
    from ._stalls import Stall as Stall
    from ._translate_many import Translations as Translations
    from ._translation import Translation as Translation
    from ._translation import TranslationStatistics as TranslationStatistics
    from .client import VideoTranslationClient as VideoTranslationClient
    from .schedules import Exponential as Exponential
    from .schedules import Fixed as Fixed
    from .schedules import Learned as Learned
    from .schedules import Schedule as Schedule

# Where each name lives.
_HOMES = {
    "_errors": (
        *(
            "BadAnswer",
            "CursorExpired",
            "DamagedHistory",
            "GaveUp",
            "JobCancelled",
            "JobEnded",
            "JobFailed",
        ),
        *("JobNotFound", "NoAnswer", "Redirected", "Refused", "RemoteError"),
        *("RequestTimedOut", "ServerBusy", "TransientError", "Unauthorized"),
        *("Unreachable", "VtrioError", "WaitTimeout"),
    ),
    "_governor": ("Governor", "GovernorStatistics"),
    "_job": ("Job", "JobProblem", "JobResult", "JobStatus"),
    "_many": ("Outcomes", "Updates"),
    "_outcomes": ("FleetStatistics", "JobUpdate", "Outcome"),
    "_receipt": ("Delay", "DelayReason", "Receipt"),
    "_source": ("Answer", "Capabilities", "StatusSource"),
    "_stalls": ("JobPhase", "Stall"),
    "_translate_many": ("Translations",),
    "_translation": ("Translation", "TranslationStatistics"),
    "client": ("VideoTranslationClient",),
    "schedules": ("Exponential", "Fixed", "Learned", "Schedule"),
}
__getattr__, _names = importer(__name__, _HOMES)
__all__ = sorted(["__version__", *_names])  # noqa: PLE0605 - read from one table


def __dir__() -> list[str]:
    return list(__all__)
