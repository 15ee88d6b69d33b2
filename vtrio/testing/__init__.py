"""A kit for testing programs that wait for jobs: waits of hours in milliseconds.

A `ScriptedServer` answers as a script says, in virtual time, without sockets:

    server = ScriptedServer()
    talk = server.add(job("pending", after(5, "running"), after(2400, "error")))
    server.fault(busy(retry_after=30), at=60, lasting=120)
    client = server.client()

It speaks of many jobs in lists and in a feed of changes too, and holds its answers until
there is news; `cut_off`, `expire_cursors` and `allowance` make that hard for a client.

Under pytest the fixtures `vtrio_server`, `vtrio_client` and `vtrio_invariants` are
there without any import; `vtrio.testing.contracts` holds suites for schedules, sources
and servers of your own. The names are imported when they are first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import importer

if TYPE_CHECKING:
    from ._chance import Steady as Steady
    from ._faults import Fault as Fault
    from ._faults import asks_to_wait as asks_to_wait
    from ._faults import buffering as buffering
    from ._faults import busy as busy
    from ._faults import drip as drip
    from ._faults import expired_link as expired_link
    from ._faults import gzip_bomb as gzip_bomb
    from ._faults import hang as hang
    from ._faults import html as html
    from ._faults import hung_up as hung_up
    from ._faults import not_found as not_found
    from ._faults import refused as refused
    from ._faults import reset as reset
    from ._faults import says as says
    from ._faults import server_error as server_error
    from ._faults import too_many as too_many
    from ._faults import truncated as truncated
    from ._faults import wrong_length as wrong_length
    from ._invariants import InvariantBroken as InvariantBroken
    from ._invariants import Invariants as Invariants
    from ._jobs import ScriptedJob as ScriptedJob
    from ._replies import Cut as Cut
    from ._replies import Pause as Pause
    from ._replies import Reply as Reply
    from ._replies import respond as respond
    from ._scripts import Drawn as Drawn
    from ._scripts import JobScript as JobScript
    from ._scripts import after as after
    from ._scripts import drawn as drawn
    from ._scripts import job as job
    from ._server import URL as URL
    from ._server import ScriptedServer as ScriptedServer
    from ._sources import ScriptedSource as ScriptedSource
    from ._timeline import Exchange as Exchange
    from ._timeline import Kind as Kind
    from ._timeline import ScriptNotFollowed as ScriptNotFollowed

# Where each name lives.
_HOMES = {
    "_chance": ("Steady",),
    "_faults": (
        *("Fault", "asks_to_wait", "buffering", "busy", "drip", "expired_link"),
        *("gzip_bomb", "hang", "html", "hung_up", "not_found", "refused", "reset"),
        *("says", "server_error", "too_many", "truncated", "wrong_length"),
    ),
    "_invariants": ("InvariantBroken", "Invariants"),
    "_jobs": ("ScriptedJob",),
    "_replies": ("Cut", "Pause", "Reply", "respond"),
    "_scripts": ("Drawn", "JobScript", "after", "drawn", "job"),
    "_server": ("URL", "ScriptedServer"),
    "_sources": ("ScriptedSource",),
    "_timeline": ("Exchange", "Kind", "ScriptNotFollowed"),
}
__getattr__, _names = importer(__name__, _HOMES)
__all__ = list(_names)


def __dir__() -> list[str]:
    return list(__all__)
