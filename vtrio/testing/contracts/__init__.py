"""Suites that whatever claims to be a schedule, a source or a server has to pass.

Derive a class whose name begins with `Test`, and give it the fixture that it asks for:

    class TestMine(ScheduleContract):
        @pytest.fixture
        def schedule(self):
            return Mine(every=5)

The suites need pytest; those of sources and servers pytest-trio as well.
"""

from __future__ import annotations

from ._remote import SourceUnderTest
from ._schedules import ScheduleContract
from ._server_under_test import ServerUnderTest
from ._sources import SourceContract
from ._wire import WireContract

__all__ = [
    "ScheduleContract",
    "ServerUnderTest",
    "SourceContract",
    "SourceUnderTest",
    "WireContract",
]
