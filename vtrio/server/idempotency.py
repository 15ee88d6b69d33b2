"""The `Idempotency-Key` header.

For a day, a submission that comes again with its key and payload makes no second job:
it is answered 202 as the first one was, with the job's place and its document of then,
whatever has become of the job. The payload is the form's fields and the content of its
file, however they were sent. The whole upload is taken in before that is known, so of
twins that come at once the later one is told of the earlier one's job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import BadKey

_LONGEST = 255
# A string of RFC 8941, as the draft of the header wants it; or the bare token that
# most clients send: visible characters without a quote.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-~]+")


def read_key(lines: Sequence[str]) -> str | None:
    """Return the key, which is the same whether it came quoted or bare.

    Takes the lines of the header; none mean no key.

    Raises:
        BadKey: it is neither, it is empty or too long, or there are several.
    """
    if not lines:
        return None
    if len(lines) > 1:
        raise BadKey(f"there are {len(lines)} of them: send one")
    text = lines[0].strip()
    if quoted := _QUOTED.fullmatch(text):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _BARE.fullmatch(text):
        key = text
    else:
        raise BadKey(
            "it must be a quoted string or a word, of printable ASCII characters"
        )
    if not 1 <= len(key) <= _LONGEST:
        raise BadKey(f"it has {len(key)} characters and may have 1 to {_LONGEST}")
    return key
