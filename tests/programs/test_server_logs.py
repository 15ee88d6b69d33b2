"""The log that `vtrio serve` prints: an object a line, or words for who watches."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from trio.testing import MockClock

from vtrio.server import Access
from vtrio.server.access import digest_of, new_key
from vtrio.server.logs import configure, get_logger, naming_the_request
from vtrio.server.store import Instant

if TYPE_CHECKING:
    from tests.programs.conftest import CheckProblem, OpenApp

NOON = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read what was printed, a JSON object a line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def pipe() -> io.StringIO:
    """Print the log on a stream that is no terminal."""
    stream = io.StringIO()
    configure(stream)
    return stream


def test_an_event_is_an_object_on_a_line(pipe: io.StringIO) -> None:
    """With its level, logger, instant and fields, line breaks and all."""
    before = datetime.now(UTC)
    get_logger("vtrio.server.x").warning("it-happened", path="a\nb", number=3, no=None)
    (line,) = told(pipe)
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "event": "it-happened",
        "level": "warning",
        "logger": "vtrio.server.x",
        "path": "a\nb",
        "number": 3,
        "no": None,
    }


def test_what_is_no_json_is_printed_as_python_shows_it(pipe: io.StringIO) -> None:
    """A field of any kind spoils no line."""
    get_logger("vtrio.server.x").info("it-happened", what={1}, raw=b"\xff")
    (line,) = told(pipe)
    assert (line["what"], line["raw"]) == ("{1}", "b'\\xff'")


def test_an_exception_is_a_field(pipe: io.StringIO) -> None:
    """With its traceback, on the same line."""
    log = get_logger("vtrio.server.x")
    try:
        raise LookupError("gone")
    except LookupError as error:
        log.exception("it-failed", id="j1")
        caught = error
    log.error("it-failed", exc_info=caught)
    for line in told(pipe):
        assert line["event"] == "it-failed"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("LookupError: gone")
        assert "exc_info" not in line


def test_what_libraries_log_has_the_same_shape(pipe: io.StringIO) -> None:
    """The sentence is the event; what is below information is left out."""
    logging.getLogger("library").info("%d things", 3, extra={"more": 1})
    logging.getLogger("library").debug("nothing")
    logging.getLogger("alembic.runtime").info("Context impl")
    (line,) = told(pipe)
    assert (line["event"], line["logger"]) == ("3 things", "library")
    assert (line["level"], line["more"]) == ("info", 1)


def test_what_belongs_to_a_request_names_it(pipe: io.StringIO) -> None:
    """Inside the block, and not behind it."""
    log = get_logger("vtrio.server.x")
    with naming_the_request("r1"):
        log.info("inside")
    log.info("behind")
    assert [line.get("request_id") for line in told(pipe)] == ["r1", None]


def test_who_watches_a_terminal_reads_words() -> None:
    """The event and its fields, and the traceback below, but no variable's value."""
    stream = Terminal()
    configure(stream)
    secret = "vtrio_".upper()
    try:
        raise LookupError("gone")
    except LookupError:
        get_logger("vtrio.server.x").exception("it-failed", id="j1")
    printed = stream.getvalue()
    assert "it-failed" in printed
    assert "j1" in printed
    assert "LookupError: gone" in printed
    assert secret not in printed
    with pytest.raises(ValueError, match="Expecting"):
        told(stream)


def test_a_program_of_its_own_has_the_fields_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without `configure`, whatever handlers there are get them on the record."""
    with caplog.at_level(logging.INFO):
        get_logger("vtrio.server.x").info("it-happened", id="j1")
    (record,) = caplog.records
    assert (record.message, vars(record)["id"]) == ("it-happened", "j1")


@pytest.fixture
def everything(root_logger: logging.Logger) -> io.StringIO:
    """Print all that anything logs, however little it matters."""
    stream = io.StringIO()
    configure(stream)
    root_logger.setLevel(logging.DEBUG)
    return stream


async def test_a_key_is_in_no_log_error_or_repr(
    open_app: OpenApp,
    everything: io.StringIO,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not one that opens, nor one that does not, whatever goes wrong."""
    key, record = new_key("ci", NOON)
    stranger, _ = new_key("ci", NOON)
    secrets = [text.split("_", 2)[2] for text in (key, stranger)]
    answers = []
    async with open_app(keys=[record]) as client:
        for each in (key, stranger):
            client.headers["Authorization"] = f"Bearer {each}"
            answers.append(await client.submit())
            answers.append(await client.get("/v1/translations/nobody"))

        def fail(*_: object) -> None:
            raise LookupError("broken")

        client.headers["Authorization"] = f"Bearer {key}"
        monkeypatch.setattr(client.service, "check_open", fail)
        broken = await client.submit()
        check_problem(broken, 500, "internal-error")
        answers.append(broken)
        access = Access(client.store)
        await access.refresh()
        shown = repr([access, record, client.store, client.service])
    assert [answer.status_code for answer in answers] == [202, 404, 401, 401, 500]
    printed = everything.getvalue()
    assert '"client": "' + record.id in printed
    assert "LookupError: broken" in printed
    digest = digest_of(key)
    for text in (printed, shown, *(answer.text for answer in answers)):
        assert not any(secret in text for secret in secrets)
        assert digest.hex() not in text
        assert repr(digest) not in text
