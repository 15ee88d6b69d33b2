"""The engine that really translates: English speech to Brazilian Portuguese, offline.

Each attempt runs in a process group of its own (`_process`), because the threads of
the engines below cannot be cancelled but a process group can be killed, and because
the memory comes back. Importing this package imports none of those engines.
"""

from __future__ import annotations

from ._engine import LocalEngine
from ._settings import LocalSettings
from ._setup import available

__all__ = ["LocalEngine", "LocalSettings", "available"]
