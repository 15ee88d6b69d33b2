"""What the tests of the edge share: a client over each of the HTTP libraries."""

from __future__ import annotations

from types import ModuleType

import pytest

from vtrio import VideoTranslationClient
from vtrio.testing import ScriptedServer


@pytest.fixture
def vtrio_client(
    vtrio_server: ScriptedServer, library: ModuleType
) -> VideoTranslationClient:
    """The kit's client, over each of the libraries."""
    return vtrio_server.client(library=library)
