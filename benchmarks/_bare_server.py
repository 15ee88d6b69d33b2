"""The least that quart-trio and hypercorn can serve: what ours is compared with."""

from __future__ import annotations

import logging
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework
from quart_trio import QuartTrio

from vtrio.server.connections import KEEP_ALIVE


def _make_app() -> QuartTrio:
    app = QuartTrio(__name__, static_folder=None)

    @app.get("/")
    async def answer() -> str:
        return ""

    @app.get("/hold")
    async def hold() -> str:
        await trio.sleep_forever()

    return app


def _config() -> Config:
    """Set what our server sets too."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = None
    config.errorlog = logging.getLogger("bare")
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE
    config.keep_alive_max_requests = 1_000_000
    return config


async def _main() -> None:
    app = cast("ASGIFramework", _make_app())
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(serve, app, _config())
        print(f"listening on {url}", flush=True)


if __name__ == "__main__":
    trio.run(_main)
