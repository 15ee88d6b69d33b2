"""Who may: API keys, of which the store has but digests.

A key is random and long, so a plain SHA-256 of it is as good as unguessable; no slow
hash is needed, as for passwords. It begins with an id, which is no secret: by it the
key is found, and by it jobs know whose they are.

Where the store has never had a key, everybody may do everything, and the server
listens on loopback only. Once there was one, requests need one that is valid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from .errors import Unauthorized
from .store import NOBODY, ApiKeyRecord, Instant, Store

_KEY = re.compile(r"vtrio_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_NO_DIGEST = bytes(32)

# Seconds after which a key that was added or revoked by another process is noticed.
_FRESH = 1.0


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        owner: whose jobs it may see: the id of its key, or `NOBODY`.
        name: by what it is told from other clients where requests are counted.
    """

    owner: str
    name: str


class Access:
    """Tells from a request's headers who asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, ApiKeyRecord] = {}
        self._read_at = float("-inf")
        self._reading = trio.Lock()

    def __repr__(self) -> str:
        return f"<Access keys={len(self._keys)}>"

    @property
    def needs_keys(self) -> bool:
        """Tell whether a request needs a key: the store has, or had, one."""
        return bool(self._keys)

    @property
    def has_valid_keys(self) -> bool:
        """Tell whether any key opens."""
        return any(key.revoked is None for key in self._keys.values())

    async def refresh(self) -> None:
        """Read the keys, unless that was done a moment ago."""
        if not self._is_stale:
            return
        # Who comes meanwhile waits: what was read before may be old by hours.
        async with self._reading:
            if self._is_stale:
                self._keys = {key.id: key for key in await self._store.api_keys()}
                self._read_at = trio.current_time()

    async def client(self, authorization: Sequence[str], address: str) -> Client:
        """Return who asks, by the lines of the `Authorization` header.

        Raises:
            Unauthorized: a key is needed, and there is none that is valid.
        """
        await self.refresh()
        if (client := self._client(authorization, address)) is not None:
            return client
        if not authorization:
            raise Unauthorized("send an API key, as Authorization: Bearer KEY")
        raise Unauthorized("this API key is not known, or was revoked")

    def known(self, authorization: Sequence[str], address: str) -> Client | None:
        """Return who asks, if that can be told without reading the keys anew."""
        return None if self._is_stale else self._client(authorization, address)

    @property
    def _is_stale(self) -> bool:
        return trio.current_time() - self._read_at >= _FRESH

    def _client(self, authorization: Sequence[str], address: str) -> Client | None:
        if not self.needs_keys:
            return Client(NOBODY, address)
        if len(authorization) != 1:
            return None
        bearer = _BEARER.fullmatch(authorization[0].strip())
        key = None if bearer is None else self._find(bearer[1])
        return None if key is None else Client(key.id, key.id)

    def _find(self, text: str) -> ApiKeyRecord | None:
        key_id = id_of_key(text)
        key = None if key_id is None else self._keys.get(key_id)
        # What is not known is compared too, so that the time does not tell.
        expected = _NO_DIGEST if key is None else key.digest
        fits = hmac.compare_digest(digest_of(text), expected)
        return key if fits and key is not None and key.revoked is None else None


def new_key(name: str, now: Instant) -> tuple[str, ApiKeyRecord]:
    """Draw a key; return its text, which is nowhere else, and what the store keeps."""
    key_id = secrets.token_hex(6)
    text = f"vtrio_{key_id}_{secrets.token_urlsafe(32)}"
    return text, ApiKeyRecord(id=key_id, name=name, digest=digest_of(text), created=now)


def id_of_key(text: str) -> str | None:
    """Return the id in the text of a key, which is no secret; None if it is no key."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest_of(text: str) -> bytes:
    """Return what the store keeps of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
