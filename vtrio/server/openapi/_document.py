"""The document as a whole."""

from __future__ import annotations

from typing import Any

from ..limits import Limits
from . import _answers, _parameters, _paths, _schemas

_ABOUT = """\
Translates videos. A client submits one, and is told of its job until that has ended.

Each answer of 400 or above is a problem document (RFC 9457), but what is no HTTP at \
all is refused without one. Clients pass over members and headers that they do not know.
"""
_TAGS = {
    "translations": "Jobs: submitting, following, cancelling and deleting them",
    "results": "What completed jobs have made",
    "events": "Changes of the jobs' statuses, in order",
    "server": "The server itself",
}


def openapi_document(limits: Limits, *, version: str, keys: bool) -> dict[str, Any]:
    """Describe the server's routes for these limits.

    `version` is that of the program, and `keys` says whether clients need one.
    """
    components = {
        "schemas": _schemas.schemas(limits),
        "headers": _answers.headers(),
        "parameters": _parameters.parameters(limits),
    }
    if keys:
        components["securitySchemes"] = {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key that `vtrio keys add` has made",
            }
        }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "vtrio",
            "version": version,
            "summary": "A job server for video translations",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": _paths.paths(limits, keys=keys),
        "components": components,
    }
