"""The OpenAPI 3.1 document of the server.

It is built from plain data and needs no framework, so that it can be read without a
server. The schemas are as narrow as what the server sends and as wide as what it takes:
tools that make requests from it, and judge the answers, need both.
"""

from __future__ import annotations

from ._document import openapi_document

__all__ = ["openapi_document"]
