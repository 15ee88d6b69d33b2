"""What no client of ours would send: raw requests, all of them to one server.

Beside each stands the status that may answer it. `check_corpus` says what more is
asserted of each, and `test_server_corpus_bodies` has those with a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.programs.conftest import CheckCorpus, StartServer

# A name, the bytes, and the statuses that may answer them.
Entry: TypeAlias = tuple[str, bytes, tuple[int, ...]]

REST = b"Host: x\r\nConnection: close\r\n\r\n"
JOB = b"/v1/translations/JOB"  # a job that has completed takes the place of the word


def ask(
    method: bytes,
    target: bytes,
    *statuses: int,
    headers: bytes = b"",
    body: bytes = b"",
    name: str = "",
) -> Entry:
    """Ask with these lines of headers."""
    lines = headers + b"\r\n" if headers else b""
    if body:
        lines += b"Content-Length: %d\r\n" % len(body)
    request = b"%s %s HTTP/1.1\r\n%s%s%s" % (method, target, lines, REST, body)
    name = name or f"{method!r} {target[:60]!r} {lines[:90]!r} {len(request)}"
    return name, request, statuses


def get(target: bytes, *statuses: int) -> Entry:
    """Get something."""
    return ask(b"GET", target, *statuses)


def status(headers: bytes, *statuses: int, name: str = "") -> Entry:
    """Get the status with these lines of headers."""
    return ask(b"GET", b"/status", *statuses, headers=headers, name=name)


def show(headers: bytes, *statuses: int) -> Entry:
    """Get a job that has completed."""
    return ask(b"GET", JOB, *statuses, headers=headers)


def shake(headers: bytes, *statuses: int) -> Entry:
    """Begin a WebSocket's handshake, and go on with these lines of headers."""
    begun = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    request = b"GET /v1/events HTTP/1.1\r\n%s%s\r\n" % (begun, headers)
    return f"a handshake {headers!r}", request, statuses


# What hypercorn may answer in its own words, because it is no request.
BELOW: list[Entry] = [
    ("an empty line first", b"\r\nGET /status HTTP/1.1\r\n" + REST, (200, 400)),
    ("no version", b"GET /status\r\n\r\n", (400,)),
    ("another protocol", b"GET /status SPDY/1.1\r\n" + REST, (400,)),
    ("a version that is none", b"GET / HTTP/1.x\r\n" + REST, (400,)),
    ("no host", b"GET /status HTTP/1.1\r\nConnection: close\r\n\r\n", (400,)),
    ("two hosts", b"GET /status HTTP/1.1\r\nHost: y\r\n" + REST, (400,)),
    ("two blanks", b"GET  /status HTTP/1.1\r\n" + REST, (400,)),
    ("no target", b"GET HTTP/1.1\r\n" + REST, (400,)),
    ("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, (400,)),
    ("binary noise", bytes(range(256)) * 8, (400,)),
    ("a long line", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + REST, (431,)),
    ("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), (400,)),
    get(b"/v1/translations/\xff", 400),
    ask(b"(", b"/status", 400),
    status(b"nonsense", 400),
    status(b": x", 400),
    status(b"A : x", 400),
    status(b"A: b\r\n c", 200, 400),
    status(b"A: \x00", 400),
    status(b"\xc3\xa4: x", 400),
    status(b"Host: [", 400),
    status(b"A: b\r\n" * 2999 + b"A: b", 200, 431, name="3,000 headers"),
    status(b"A: " + b"b" * 10**6, 431, name="a header of 1 MB"),
    status(b"Content-Length: x", 400),
    status(b"Content-Length: -1", 400),
    status(b"Content-Length: +1", 400),
    status(b"Content-Length: 1_0", 400),
    status(b"Content-Length: ", 400),
    status(b"Content-Length: 1\r\nContent-Length: 2", 400),
    status(b"Content-Length: " + b"9" * 30, 400),
    status(b"Content-Length: " + b"9" * 5000, 400),
    status(b"Transfer-Encoding: gzip", 400, 501),
    status(b"Transfer-Encoding: chunked, chunked", 400, 501),
    shake(b"", 400),
    shake(b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n", 400),
    shake(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: \xff\r\n", 400),
    shake(b"Connection: Upgrade, \xff\r\n", 400),
]

# Where the client has ended before the request had. There may be no answer.
HALF: list[Entry] = [
    ("nothing", b"", (0,)),
    ("half a line", b"GET /sta", (400, 0)),
    ("half a header", b"GET /status HTTP/1.1\r\nHos", (400, 0)),
    (
        "half a length",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + REST + b"a",
        (400, 0),
    ),
]

REQUESTS: list[Entry] = [
    ("HTTP/1.0", b"GET /status HTTP/1.0\r\n\r\n", (200,)),
    ("bare newlines", b"GET /status HTTP/1.1\n" + REST.replace(b"\r", b""), (200,)),
    ("a version of the future", b"GET /status HTTP/9.9\r\n" + REST, (200,)),
    status(b"A: \xff\xfe", 200),
    status(b"X-Request-Id: \xff<script>", 200),
    status(b"X-Request-Id: " + b"a" * 5000, 200),
    status(b'Cookie: =;;=\xff;a="', 200),
    status(b"Authorization: Basic \xff", 200),
    status(b"Accept: ;q=x, text/*;q=-1", 200),
    status(b"Content-Length: 0\r\nContent-Length: 0", 200),
    status(b"Expect: the-unexpected", 200),
    status(b"Upgrade: foo/9", 200),
    status(b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABk", 200),
    status(b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAAA", 200),
    shake(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n", 403),
    # --- targets
    get(b"http://x/status", 200),
    get(b"http://[x/", 400),
    get(b"http://x", 404),
    get(b"ftp://x/status", 200),
    get(b"http://x:99999999/status", 200),
    get(b"x:80", 400),
    get(b"?", 400),
    get(b"*", 400),
    get(b"/status#x", 404),
    get(b"//status", 200),
    get(b"//evil.example/%2e%2e", 404),
    get(b"/status/", 404),
    get(b"/../../etc/passwd", 404),
    get(b"/v1/translations/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    get(b"/v1/translations/..\\..\\x", 404),
    get(b"/v1/translations/%00", 404),
    get(b"/v1/translations/%ff", 404),
    get(b"/v1/translations/%ed%a0%80", 404),
    get(b"/v1/translations/%0d%0aA:%20b", 404),
    get(b"/v1/translations/%", 404),
    get(b"/v1/translations/%zz", 404),
    get(b"/v1/translations/'%22%3b--", 404),
    get(b"/v1/translations/%f0%9f%8e%ac", 404),
    get(b"/v1/translations/..", 404),
    get(b"/v1/translations/" + b"a" * 8000, 404),
    get(b"/v1/translations/", 404),
    get(b"/v1/translations/cancel", 404),
    get(b"/v1/translations/a%2fcancel", 405),
    get(JOB + b"/nothing", 404),
    get(b"/a" * 4000, 404),
    get(b"/status?" + b"a=b&" * 3000, 200),
    ask(b"POST", b"/v1/translations//cancel", 404),
    # --- methods
    ask(b"get", b"/status", 200),
    ask(b"!#$", b"/status", 405),
    ask(b"PUT", b"/v1/translations", 405, body=b"{}"),
    ask(b"PATCH", JOB, 405, body=b"{}"),
    ask(b"TRACE", b"/status", 405),
    ask(b"CONNECT", b"/status", 405),
    ask(b"CONNECT", b"x:443", 400),
    ask(b"POST", b"/status", 405, body=b"x" * 100_000),
    ask(b"GET", b"/status", 200, body=b"{}"),
    ask(b"HEAD", b"/status", 200),
    ask(b"HEAD", JOB, 200),
    ask(b"HEAD", b"/v1/translations/x", 404),
    ask(b"OPTIONS", JOB, 200),
    ask(b"OPTIONS", b"*", 204),
    ask(b"DELETE", b"/v1/translations", 405),
    ask(b"DELETE", b"/v1/translations/x", 404),
]

JOBS: list[Entry] = [
    # --- Prefer: what is no preference of ours is passed over (RFC 7240)
    show(b"Prefer: wait=-1", 200),
    show(b"Prefer: wait=0.5", 200),
    show(b"Prefer: wait=" + b"9" * 400, 200),
    show(b"Prefer: wait=\xb2", 200),
    show(b"Prefer: wait=", 200),
    show(b"Prefer: wait", 200),
    show(b'Prefer: wait="5', 200),
    show(b"Prefer: wait=0x10, wait=1e3; ;;=,,", 200),
    show(b"Prefer: wait=1\r\nPrefer: wait=2", 200),
    show(b"Prefer: \xff\xff=\xff", 200),
    # --- entity tags
    show(b"If-None-Match: *", 200, 304),
    show(b"If-None-Match: ", 200),
    show(b"If-None-Match: completed", 200),
    show(b'If-None-Match: "', 200),
    show(b'If-None-Match: W/W/"a", , "b', 200),
    show(b'If-None-Match: "\xff"', 200),
    show(b'If-None-Match: "nonsense-1"', 200),
    show(b'If-None-Match: "' + b"a" * 8000 + b'"', 200),
    show(b"If-None-Match: " + b'"a",' * 3000 + b'"b"', 200),
    show(b"If-Modified-Since: never\r\nIf-Match: \xff", 200),
    # --- ranges
    *(
        ask(b"GET", JOB + b"/video", code, headers=b"Range: " + value)
        for value, code in {
            b"bytes=0-0": 206,
            b"bytes=-1": 206,
            b"bytes=5-2": 200,
            b"bytes=-": 200,
            b"bytes=-0": 416,
            b"bytes=99999-": 416,
            b"bytes=" + b"9" * 5000 + b"-": 416,
            b"bytes=0-" + b"9" * 5000: 206,
            b"bytes=-" + b"9" * 5000: 206,
            b"bytes=0-0,1-1": 200,
            b"bytes=" + b"0-," * 3000 + b"0-0": 200,
            b"bytes=a-b": 200,
            b"bytes=\xb2-\xb3": 200,
            b"bytes=+0-1": 200,
            b"lines=0-1": 200,
            b"\xff": 200,
        }.items()
    ),
    ask(b"GET", JOB + b"/video", 200, headers=b"Range: bytes=0-0\r\nIf-Range: x"),
    ask(b"GET", JOB + b"/video", 200, headers=b"Range: bytes=0-0\r\nIf-Range: \xff"),
    ask(b"HEAD", JOB + b"/video", 200, headers=b"Range: bytes=99999-"),
]

LISTS: list[Entry] = [
    *(
        get(b"/v1/translations?" + query, *codes)
        for query, codes in {
            b"ids=": (422,),
            b"ids=,,,": (422,),
            b"ids=a,a,a": (200,),
            b"ids=%00,%ff,%ed%a0%80,%f0%9f%8e%ac": (422,),
            b"ids=" + b"a," * 200 + b"b": (422,),
            b"ids=" + b"a" * 10_000: (422,),
            b"ids=a&ids=b": (422,),
            b"ids=a&page_size=1": (422,),
            b"ids=a&status=pending": (422,),
            b"page_size=0": (422,),
            b"page_size=-1": (422,),
            b"page_size=201": (422,),
            b"page_size=1.0": (422,),
            b"page_size=%2B1": (422,),
            b"page_size=%D9%A1": (422,),
            b"page_size=": (422,),
            b"page_size=1&page_size=2": (422,),
            b"page_size=" + b"9" * 5000: (422,),
            b"page_token=nonsense": (422,),
            b"page_token=%00%ff": (422,),
            b"page_token=" + b"a" * 5000: (422,),
            b"status=nonsense": (422,),
            b"status=PENDING": (422,),
            b"status=%00": (422,),
            b"%ff=%ff&&&=;": (200,),
        }.items()
    ),
    *(
        get(b"/v1/events?" + query, *codes)
        for query, codes in {
            b"after=": (200,),
            b"after=nonsense": (400,),
            b"after=a.b": (400,),
            b"after=00000000.-1": (400,),
            b"after=00000000." + b"9" * 5000: (400,),
            b"after=00000000.1": (410,),
            b"after=%00.%ff": (400,),
            b"after=.": (400,),
            b"after=%f0%9f%8e%ac.%D9%A1": (400,),
            b"limit=0": (422,),
            b"limit=1001": (422,),
            b"limit=-1": (422,),
            b"limit=1e2": (422,),
            b"limit=%201": (422,),
            b"limit=" + b"9" * 5000: (422,),
        }.items()
    ),
    ask(b"GET", b"/v1/events", 200, headers=b"Accept: ;q=x, text/*;q=-1, \xff"),
    ask(b"GET", b"/v1/events", 200, headers=b"Last-Event-ID: \xff\xff"),
    ask(
        b"GET",
        b"/v1/events",
        400,
        headers=b"Accept: text/event-stream\r\nLast-Event-ID: \xff\xff",
    ),
]


async def test_requests_that_are_none_harm_nothing(check_corpus: CheckCorpus) -> None:
    """Hypercorn refuses them, or closes where the client has ended."""
    await check_corpus(below=BELOW, half=HALF)


async def test_odd_requests_are_answered(check_corpus: CheckCorpus) -> None:
    """By what they mean, or by a problem."""
    await check_corpus([*REQUESTS, *JOBS, *LISTS])


async def test_methods_that_nobody_knows_are_counted_as_one(
    start_server: StartServer,
) -> None:
    """Otherwise a client could fill the server's memory with their names."""
    async with start_server() as running, running.client() as client:
        for method in ("!#$", "BREW", "WHEN"):
            answer = await client.request(method, "/status")
            assert answer.status_code == 405
        text = (await client.get("/metrics")).text
    assert 'method="other",route="none",status="405"} 3.0' in text
    assert "BREW" not in text
