"""Where a client's requests go, and over which connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ._source import StatusSource
from .sources import ResultWordSource, TranslationsSource
from .sources._http import HttpEdge


class Connections:
    """The connections of one client: kept for its block, or opened for one call."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        http: Any,
        source: StatusSource | None,
        status_path: str | None,
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._http = http
        self._source = source
        self._status_path = status_path
        self._kept: HttpEdge | None = None

    def check(self) -> None:
        """Refuse an address that no request can be sent to; nothing is opened.

        Raises:
            ValueError: naming the address.
        """
        self._edge()

    @property
    def are_kept(self) -> bool:
        """Tell whether the client's block is open."""
        return self._kept is not None

    async def keep(self) -> None:
        """Keep connections from now on."""
        if self._kept is not None:
            raise RuntimeError(
                "this VideoTranslationClient is open already; make one for each block"
            )
        edge = self._edge()
        await edge.__aenter__()
        self._kept = edge

    async def drop(self) -> None:
        """Close what was kept."""
        edge, self._kept = self._kept, None
        if edge is not None:
            await edge.__aexit__(None, None, None)

    @asynccontextmanager
    async def translations(self) -> AsyncIterator[TranslationsSource]:
        """Lend the server that takes videos and gives results."""
        async with self._lent() as edge:
            yield TranslationsSource(edge)

    @asynccontextmanager
    async def asking(self, *, has_id: bool = True) -> AsyncIterator[StatusSource]:
        """Lend the source that tells the status, as the client was told to ask."""
        if self._source is not None:
            yield self._source
            return
        async with self._lent() as edge:
            if not has_id:
                yield ResultWordSource(edge)
            elif self._status_path is not None:
                yield ResultWordSource(edge, self._status_path)
            else:
                yield TranslationsSource(edge)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[HttpEdge]:
        if self._kept is not None:
            yield self._kept
        else:
            async with self._edge() as edge:
                yield edge

    def _edge(self) -> HttpEdge:
        return HttpEdge(self._base_url, api_key=self._api_key, http=self._http)
