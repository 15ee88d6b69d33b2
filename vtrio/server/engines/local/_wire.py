"""What the engine and its worker say to each other: one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...._checks import shorten
from .._base import EngineError, Progress
from ._settings import LocalSettings

# The longest line either side takes; a result with thousands of notes stays below it.
LONGEST_LINE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One attempt: `work` is a folder for the results and whatever else is written."""

    source: Path
    work: Path
    source_language: str | None
    settings: LocalSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The worker's last word on a success: what it knows beside the files."""

    media_seconds: float
    source_language: str
    notes: tuple[str, ...]


def encode_request(request: Request) -> bytes:
    """Return the request as a line."""
    return _line(
        {
            "source": str(request.source),
            "work": str(request.work),
            "source_language": request.source_language,
            "settings": asdict(request.settings),
        }
    )


def decode_request(line: bytes) -> Request:
    """Read what `encode_request` wrote."""
    fields = json.loads(line)
    return Request(
        source=Path(fields["source"]),
        work=Path(fields["work"]),
        source_language=fields["source_language"],
        settings=LocalSettings(**fields["settings"]),
    )


def encode_message(message: Progress | Made | EngineError) -> bytes:
    """Return what the worker says as a line."""
    match message:
        case Progress():
            return _line({"progress": asdict(message)})
        case Made():
            return _line({"made": asdict(message)})
        case EngineError():
            fields = ("kind", "title", "detail", "permanent")
            return _line({"error": {name: getattr(message, name) for name in fields}})


def decode_message(line: bytes) -> Progress | Made | EngineError:
    """Read what the worker said.

    Raises:
        ValueError: it is not one of the messages.
    """
    try:
        message: Any = json.loads(line)
        match message:
            case {"progress": {"stage": str(), "fraction": int() | float()} as fields}:
                return Progress(**fields)
            case {
                "made": {
                    "media_seconds": int() | float() as seconds,
                    "source_language": str(language),
                    "notes": [*notes],
                }
            }:
                return Made(
                    media_seconds=seconds,
                    source_language=language,
                    notes=tuple(map(str, notes)),
                )
            case {
                "error": {
                    "kind": str(kind),
                    "title": str(title),
                    "detail": str() | None as detail,
                    "permanent": bool(permanent),
                }
            }:
                return EngineError(kind, title, detail, permanent=permanent)
    except (ValueError, TypeError, RecursionError):
        pass  # all told alike below: the line is quoted, its fault does not matter
    raise ValueError(f"{shorten(line)} is not a message: must be a JSON object we know")


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
