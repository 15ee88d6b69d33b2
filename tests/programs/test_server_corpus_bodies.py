"""What no client of ours would send as a body: JSON, chunks and forms.

Beside each stands the status that may answer it. `check_corpus` says what more is
asserted of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from vtrio.server import Limits

if TYPE_CHECKING:
    from tests.programs.conftest import CheckCorpus

# A name, the bytes, and the statuses that may answer them.
Entry: TypeAlias = tuple[str, bytes, tuple[int, ...]]

JSON = b"application/json"
FORM = b"multipart/form-data; boundary="
# Of what is sent to a server that takes no larger file or body.
LARGEST = 100_000


def post(path: bytes, kind: bytes, body: bytes, *, lines: bytes = b"") -> bytes:
    """Write a request with this type of content, and these lines of headers."""
    if kind:
        lines += b"Content-Type: %s\r\n" % kind
    if b"Content-Length" not in lines and b"chunked" not in lines:
        lines += b"Content-Length: %d\r\n" % len(body)
    head = b"POST /v1/translations%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"
    return head % (path, lines) + body


def cancel(body: bytes, *statuses: int, kind: bytes = JSON, name: str = "") -> Entry:
    """Cancel the jobs in this JSON."""
    name = name or f"cancel {body[:50]!r} {kind!r}"
    return name, post(b"/cancel", kind, body), statuses


def chunks(body: bytes, *statuses: int) -> Entry:
    """Cancel the jobs in this JSON, which comes in chunks."""
    lines = b"Transfer-Encoding: chunked\r\n"
    return f"chunks {body[:50]!r}", post(b"/cancel", JSON, body, lines=lines), statuses


def part(name: bytes, content: bytes, more: bytes = b"") -> bytes:
    """Write a part of a form; `more` goes on from the quoted name."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    return head % (name, more) + content + b"\r\n"


VIDEO = part(b"video", b"...", b'; filename="a.mp4"')
TARGET = part(b"target_language", b"pt")
END = b"--b--\r\n"


def submit(
    name: str,
    body: bytes,
    *statuses: int,
    kind: bytes = FORM + b"b",
    lines: bytes = b"",
) -> Entry:
    """Submit this form."""
    return name, post(b"", kind, body, lines=lines), statuses


def keyed(key: bytes, *statuses: int) -> Entry:
    """Submit a good form with this key."""
    lines = b"Idempotency-Key: %s\r\n" % key
    body = TARGET + VIDEO + END
    return (
        f"key {key[:50]!r} {len(key)}",
        post(b"", FORM + b"b", body, lines=lines),
        statuses,
    )


# What hypercorn may answer in its own words: it ends before our answer begins.
BELOW: list[Entry] = [
    chunks(b"zz\r\n\r\n", 400),
    chunks(b"-1\r\n\r\n", 400),
    chunks(b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n", 400),
    chunks(b"1\r\n{}\r\n0\r\n\r\n", 400),
]

# Where the client ends before the request does.
HALF: list[Entry] = [
    chunks(b"5\r\n{", 400, 0),
    submit("half a form", b"--b\r\nConte", 400, 0, lines=b"Content-Length: 500\r\n"),
    submit("no form", b"", 400, 0, lines=b"Content-Length: 500\r\n"),
]

BULK: list[Entry] = [
    cancel(b'{"ids":["a"]}', 200),
    cancel(b'{"ids":["a","b","a"],"other":1}', 200),
    cancel(b'{"ids":["\\u0000","\\ud83c\\udfac"]}', 400),
    cancel(b'{"ids":[""]}', 400),
    cancel(b'{"ids":[]}', 422),
    cancel(b"", 400, name="cancel nothing"),
    cancel(b"{", 400),
    cancel(b"nonsense", 400),
    cancel(b'{"ids":["a"]} {}', 400),
    cancel(b"{'ids':['a']}", 400),
    cancel(b'\xef\xbb\xbf{"ids":["a"]}', 400, name="a byte order mark"),
    cancel('{"ids":["a"]}'.encode("utf-16"), 400, name="UTF-16"),
    cancel('{"ids":["a"]}'.encode("utf-32-be"), 400, name="UTF-32"),
    cancel(b'{"ids":["\xff"]}', 400),
    cancel(b'{"ids":["\\ud800"]}', 400),
    cancel(b'{"ids":["\x00"]}', 400),
    cancel(b'{"ids":NaN}', 400),
    cancel(b'{"ids":[],"x":-Infinity}', 400),
    cancel(b'{"ids":["a"],"x":1e9999}', 200),
    cancel(b'{"ids":["a"],"x":%s}' % (b"9" * 5000), 400),
    cancel(b'{"ids":["a"],"ids":["b"]}', 400),
    cancel(b"[" * 30_000, 400, name="30,000 arrays"),
    cancel(b'{"a":' * 10_000, 400, name="10,000 objects"),
    cancel(b'{"ids":["a"],"x":' + b"[" * 20 + b"]" * 20 + b"}", 400),
    cancel(b"[" * 200_000, 413, name="200,000 arrays"),
    cancel(b'{"ids":["a"]}' + b" " * 70_000, 413, name="too many blanks"),
    cancel(b'{"ids":[%s"a"]}' % (b'"a",' * 200), 422, name="201 ids"),
    *(
        cancel(body, 400)
        for body in (
            b"null",
            b"1",
            b'"ids"',
            b"[]",
            b'["a"]',
            b"{}",
            b'{"IDS":["a"]}',
            b'{"ids":null}',
            b'{"ids":"a"}',
            b'{"ids":{"a":1}}',
            b'{"ids":[1]}',
            b'{"ids":["a",null]}',
            b'{"ids":[["a"]]}',
            b'{"ids":[true]}',
        )
    ),
    chunks(b'b;x=y\r\n{"ids":["a"\r\n2\r\n]}\r\n0\r\nA: b\r\n\r\n', 200),
    cancel(b'{"ids":["a"]}', 415, kind=b""),
    *(
        cancel(b'{"ids":["a"]}', *codes, kind=kind)
        for kind, codes in {
            b"text/plain": (415,),
            b"application/jsonp": (415,),
            b"application/json; charset=latin-1": (200, 415),
            b"application/json;": (200,),
            b'application/json; charset="': (200, 415),
            b"\xff": (415,),
            b";": (415,),
            b"multipart/form-data": (415,),
        }.items()
    ),
]

FORMS: list[Entry] = [
    submit("a good form", TARGET + VIDEO + END, 202),
    submit("no type", TARGET + VIDEO + END, 415, kind=b""),
    submit("JSON", b'{"source_url":"x"}', 415, kind=b"application/json"),
    submit("no boundary", VIDEO, 400, kind=b"multipart/form-data"),
    submit("an empty boundary", VIDEO, 400, kind=FORM),
    submit(
        "a long boundary",
        VIDEO,
        400,
        kind=FORM + b"b" * 5000,
    ),
    submit("a boundary of no ASCII", VIDEO, 400, kind=FORM + b"\xff"),
    submit("a quote that stays open", VIDEO, 400, kind=FORM + b'"b'),
    submit(
        "another boundary",
        TARGET + VIDEO + END,
        400,
        kind=FORM + b"c",
    ),
    submit("mixed", TARGET + VIDEO + END, 415, kind=b"multipart/mixed; boundary=b"),
    submit("no body", b"", 400),
    submit("an end alone", END, 400, 422),
    submit("no end", TARGET + VIDEO, 400),
    submit("an end that is cut", TARGET + VIDEO + b"--b-", 400),
    submit("noise", bytes(range(256)) * 20, 400),
    submit("no video", TARGET + END, 422),
    submit("two videos", TARGET + VIDEO + VIDEO + END, 422),
    submit("an empty video", TARGET + part(b"video", b"", b'; filename=""') + END, 422),
    submit("a video without a file name", TARGET + part(b"video", b"x") + END, 202),
    submit("no language", VIDEO + END, 422),
    submit("two languages", TARGET + TARGET + VIDEO + END, 422),
    submit("an empty language", part(b"target_language", b"") + VIDEO + END, 422),
    submit("no language at all", part(b"target_language", b"'; --") + VIDEO + END, 422),
    submit(
        "a language not in UTF-8", part(b"target_language", b"\xff") + VIDEO + END, 422
    ),
    submit("a long language", part(b"target_language", b"a" * 5000) + VIDEO + END, 422),
    submit(
        "a source that is none",
        TARGET + part(b"source_language", b"\x00") + VIDEO + END,
        422,
    ),
    submit(
        "nested quotes",
        TARGET + part(b'video"; name="x', b"y") + VIDEO + END,
        202,
        400,
        422,
    ),
    submit(
        "a path as name",
        TARGET + part(b"video", b"x", b'; filename="../../../x.\x00"') + END,
        202,
    ),
    submit(
        "a name of no UTF-8",
        TARGET + part(b"video", b"x", b"; filename*=UTF-8''%ff%00") + END,
        202,
    ),
    submit(
        "a long name",
        TARGET + part(b"video", b"x", b'; filename="%s"' % (b"a" * 5000)) + END,
        202,
    ),
    submit(
        "a part without a name",
        TARGET + b"--b\r\n\r\nx\r\n" + VIDEO + END,
        202,
        400,
        422,
    ),
    submit(
        "a part of two names",
        TARGET + part(b"video", b"x", b'; name="y"') + END,
        202,
        422,
    ),
    submit(
        "a long part header",
        TARGET + part(b"x", b"", b"; " + b"y" * 150_000) + VIDEO + END,
        202,  # where all of it was there at once
        400,
    ),
    submit(
        "1,000 part headers",
        b"--b\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n" + END,
        400,
        422,
    ),
    submit("100 parts", part(b"x", b"y") * 100 + TARGET + VIDEO + END, 413),
    submit("a long part", TARGET + part(b"x", b"y" * 100_000) + VIDEO + END, 413),
    submit(
        "a form in a form", TARGET + part(b"video", TARGET + END) + END, 202, 400, 422
    ),
    submit("blanks behind the delimiter", b"--b" + b" " * 10_000, 400),
    submit(
        "a form that is too long", TARGET + part(b"video", b"x" * 200_000) + END, 413
    ),
    # --- keys
    keyed(b"", 400),
    keyed(b'""', 400),
    keyed(b'"a', 400),
    keyed(b'"a\\n"', 400),
    keyed(b"a b", 400),
    keyed(b"\xff", 400),
    keyed(b"a\tb", 400),
    keyed(b"a" * 255, 202),
    keyed(b"a" * 256, 400),
    keyed(b"a\r\nIdempotency-Key: a", 400),
    keyed(b'"a"; b=1', 400),
    submit("expecting to go on", END, 100, lines=b"Expect: 100-continue\r\n"),
    # --- lengths
    submit(
        "a length beyond the limit", b"", 413, lines=b"Content-Length: 999999999\r\n"
    ),
    (
        "a length of JSON beyond the limit",
        post(b"/cancel", JSON, b"", lines=b"Content-Length: 999999999\r\n"),
        (413,),
    ),
]


async def test_bodies_that_are_none_harm_nothing(check_corpus: CheckCorpus) -> None:
    """Hypercorn refuses them, or closes where the client has ended."""
    await check_corpus(below=BELOW, half=HALF)


async def test_odd_bodies_are_answered(check_corpus: CheckCorpus) -> None:
    """By what they mean, or by a problem."""
    await check_corpus([*BULK, *FORMS], limits=Limits(upload=LARGEST))
