"""The server that takes videos, translates them and tells how far it is.

Its names are imported when they are used, because they need the extra
`vtrio[server]`; importing this package does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .access import Access as Access
    from .app import create_app as create_app
    from .demonstration import Demonstration as Demonstration
    from .errors import ServeError as ServeError
    from .limits import Limits as Limits
    from .service import JobService as JobService
    from .serving import ServerSettings as ServerSettings
    from .serving import Serving as Serving
    from .serving import run_server as run_server
    from .serving import serve as serve
    from .serving import serve_until_signal as serve_until_signal
    from .store import Store as Store
    from .store import open_store as open_store

_HOMES = {
    "Access": "access",
    "Demonstration": "demonstration",
    "JobService": "service",
    "Limits": "limits",
    "ServeError": "errors",
    "ServerSettings": "serving",
    "Serving": "serving",
    "Store": "store",
    "create_app": "app",
    "open_store": "store",
    "run_server": "serving",
    "serve": "serving",
    "serve_until_signal": "serving",
}
_EXTRA = (
    *("alembic", "hypercorn", "prometheus_client", "quart", "quart_trio", "sqlalchemy"),
    *("structlog", "werkzeug"),
)

__all__ = [
    "Access",
    "Demonstration",
    "JobService",
    "Limits",
    "ServeError",
    "ServerSettings",
    "Serving",
    "Store",
    "create_app",
    "open_store",
    "run_server",
    "serve",
    "serve_until_signal",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{home}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(
            f"vtrio.server.{name} needs {error.name!r}, which is not installed: run"
            " pip install 'vtrio[server]'"
        ) from error
