"""The app: a leaf, which is given the service and owns nothing that runs."""

from __future__ import annotations

from typing import cast

import trio
from quart import Response, request
from quart_trio import QuartTrio

from .._version import __version__
from . import metrics
from .access import Access
from .answers import facts, json_answer
from .asgi import App, Boundary, Scope
from .demonstration import Demonstration
from .errors import NotReady
from .feed_routes import add_feed_routes
from .job_routes import JobRoutes
from .logs import get_logger
from .openapi import openapi_document
from .problems import problem_for
from .requests import address_of
from .service import JobService
from .unchanged import UnchangedJobs

_log = get_logger("vtrio.server.http")

# What needs no key: whoever watches over the server, and the demonstration.
_OPEN = frozenset({"/status", "/healthz", "/readyz"})
_NOT_KEPT = {"Cache-Control": "no-store"}


def create_app(
    service: JobService, demonstration: Demonstration, access: Access
) -> QuartTrio:
    """Build the app around a service that runs elsewhere."""
    app = QuartTrio("vtrio.server", static_folder=None)
    app.config.update(
        # Uploads count their own bytes: Quart's limit is on what it has buffered.
        MAX_CONTENT_LENGTH=None,
        # An upload may take hours; it is given up when it comes in too slowly.
        BODY_TIMEOUT=None,
        # A download may take hours; a client that stops reading is the socket's
        # business (TCP_USER_TIMEOUT).
        RESPONSE_TIMEOUT=None,
        # Unforeseen errors become problems in tests too.
        PROPAGATE_EXCEPTIONS=False,
    )
    boundary = Boundary(
        cast("App", app.asgi_app),
        service.metrics.request,
        UnchangedJobs(service, access).answer,
    )
    # Quart's own way of wrapping; hypercorn's types and ours differ in name alone.
    app.asgi_app = boundary  # type: ignore[method-assign,assignment]
    # Otherwise `//status` would be redirected.
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, _answer_error)
    # A key may be added while the server runs.
    described = {
        keys: openapi_document(service.limits, version=__version__, keys=keys)
        for keys in (False, True)
    }

    @app.before_request
    async def check_key() -> None:
        known = facts()
        if request.url_rule is not None:
            known.route = request.url_rule.rule
        if request.path not in _OPEN:
            known.client = await access.client(
                request.headers.getlist("Authorization"),
                address_of(cast("Scope", request.scope)),
            )

    @app.get("/status")
    async def show_demonstration() -> Response:
        await trio.lowlevel.checkpoint()
        status = demonstration.status(trio.current_time())
        return json_answer({"result": status}, headers=_NOT_KEPT)

    @app.get("/healthz")
    async def show_health() -> Response:
        await trio.lowlevel.checkpoint()
        return json_answer({"status": "ok"}, headers=_NOT_KEPT)

    @app.get("/readyz")
    async def show_readiness() -> Response:
        await trio.lowlevel.checkpoint()
        if not service.is_ready:
            raise NotReady("the server takes no jobs at this moment")
        return json_answer({"status": "ok"}, headers=_NOT_KEPT)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        await trio.lowlevel.checkpoint()
        return Response(
            service.metrics.text(),
            headers=_NOT_KEPT,
            content_type=metrics.CONTENT_TYPE,
        )

    @app.get("/openapi.json")
    async def describe() -> Response:
        await trio.lowlevel.checkpoint()
        return json_answer(described[access.needs_keys])

    JobRoutes(service).add_to(app)
    add_feed_routes(app, service, access)
    return app


async def _answer_error(error: Exception) -> Response:
    await trio.lowlevel.checkpoint()
    request_id = facts().id
    problem = problem_for(error, _log, request_id)
    return Response(
        problem.body(request_id=request_id, instance=request.path),
        status=problem.status,
        headers=problem.all_headers(),
    )
