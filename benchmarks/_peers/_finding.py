"""Which peers there are, and which of them are installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from . import Peer

if TYPE_CHECKING:
    # Tells the type checker to hold each to what a peer offers.
    from . import (
        aiohttp,
        azure_core,
        botocore,
        google_api_core,
        polling2,
        stamina,
        tenacity,
    )

    _ALL: tuple[Peer, ...] = (
        tenacity,
        stamina,
        aiohttp,
        google_api_core,
        polling2,
        azure_core,
        botocore,
    )

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "tenacity": "tenacity",
        "stamina": "stamina",
        "aiohttp": "aiohttp",
        "google-api-core": "google_api_core",
        "polling2": "polling2",
        "azure-core": "azure_core",
        "botocore": "botocore",
    }
)
"""The module of each peer, in the order of tables."""


def find_peers() -> tuple[list[Peer], list[str]]:
    """Return the peers that are installed, and a line for each that is left out."""
    found, left_out = [], []
    for name, module in MODULES.items():
        try:
            peer = importlib.import_module(f".{module}", __package__)
        except ModuleNotFoundError as error:
            left_out.append(_why_left_out(name, error))
        else:
            found.append(cast("Peer", peer))
    return found, left_out


def _why_left_out(name: str, error: ModuleNotFoundError) -> str:
    missing = error.name or ""
    if missing.startswith(f"{__package__}."):
        raise error  # a module of ours
    # Of google-api-core, Python misses `google` or `google.api_core`.
    if name.startswith(missing.replace(".", "-").replace("_", "-")):
        return f"{name} is not installed (vtrio[bench]): left out"
    return f"{missing} is not installed (vtrio[bench]): {name} is left out"
