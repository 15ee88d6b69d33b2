"""The worker's entry: `python -m vtrio.server.engines.local`, started by the engine."""

from __future__ import annotations

from ._worker import main

main()
