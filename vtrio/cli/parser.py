"""The commands and their options: by flag, then from the environment."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

from .._checks import check_count, check_number, shorten
from .._version import __version__

_ENGINES = ("local", "simulated")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LIMITS = (
    ("--max-upload", str(2 * 1024**3), "bytes of the largest video that is taken"),
    ("--min-upload-rate", "1000", "bytes a second that an upload has to bring"),
    ("--max-json", str(64 * 1024), "bytes of the largest JSON body"),
    ("--max-json-depth", "16", "how deep JSON may lie"),
    ("--max-ids", "200", "jobs that one request may name"),
    ("--max-page", "200", "jobs on one page"),
    ("--max-held", "1000", "requests that one client may hold"),
    ("--max-waiting", "10000", "jobs that may wait for a worker"),
)


class UsageError(Exception):
    """The command cannot be carried out as it was given; one sentence says why."""


class _Parser(argparse.ArgumentParser):
    """Fails with one sentence, and leaves printing to the caller."""

    def __init__(self, **settings: Any) -> None:
        # A shortened flag would change its meaning when a longer one is added.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> argparse.Namespace | None:
    """Read a command; None where it was only asked for help or the version.

    Raises:
        UsageError: naming the value and what is allowed.
    """
    try:
        options = _parser(environment).parse_args(arguments)
    except SystemExit:
        return None
    if options.command == "wait":
        _check_wait(options)
    return options


def _check_wait(options: argparse.Namespace) -> None:
    """Refuse a wait for nothing, or for two things at once."""
    if options.resume is None:
        if not options.ids:
            raise UsageError(
                "the following arguments are required: ID, or --resume FILE; see vtrio"
                " wait --help"
            )
        return
    for name, value in (("ID", options.ids), ("-o", options.output)):
        if value:
            raise UsageError(
                f"{name} together with --resume is not allowed: must be one or the"
                " other; see vtrio wait --help"
            )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vtrio",
        description="Translate videos, and wait for them.",
    )
    parser.add_argument("--version", action="version", version=f"vtrio {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    options = _Options(environment)
    _add_serve(commands.add_parser("serve", help="run a translation server"), options)
    _add_translate(
        commands.add_parser("translate", help="translate video files"), options
    )
    for name, help_text in (
        ("status", "tell how jobs stand"),
        ("wait", "wait for jobs, and fetch what they made"),
        ("cancel", "cancel jobs"),
    ):
        command = commands.add_parser(name, help=help_text)
        number = "*" if name == "wait" else "+"
        command.add_argument("ids", metavar="ID", nargs=number, type=_checked(_job_id))
        options.add_server(command)
        options.add_max_wait(command)
        if name == "wait":
            _add_output(command)
            options.add_history(command)
            options.add_on_exit(command)
            _add_resume(command)
    _add_demo(commands.add_parser("demo", help="translate the sample video"), options)
    _add_keys(commands.add_parser("keys", help="API keys of a server"), options)
    return parser


class _Given(argparse.Action):
    """Store a value, and that it was given by the flag itself."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        namespace.given = {*getattr(namespace, "given", ()), self.dest}


class _FromEnvironment(str):
    """A value that a variable of the environment gave."""

    __slots__ = ("variable",)
    variable: str

    def __new__(cls, value: str, variable: str) -> Self:
        text = super().__new__(cls, value)
        text.variable = variable
        return text


class _Options:
    """Options that several commands share, and where their defaults come from."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def add(
        self,
        command: argparse.ArgumentParser,
        flag: str,
        read: Callable[[str], object],
        *,
        default: object = None,
        help_text: str,
        metavar: str,
    ) -> None:
        """Add an option that the environment may set: `--base-url`, VTRIO_BASE_URL."""
        variable = "VTRIO_" + flag.removeprefix("--").replace("-", "_").upper()
        # Set to nothing is not set, as shells leave it.
        told = self._environment.get(variable)
        value = _FromEnvironment(told, variable) if told else default
        command.add_argument(
            flag,
            action=_Given,
            type=_checked(read),
            default=value,
            metavar=metavar,
            help=f"{help_text} (or {variable})",
        )

    def add_server(self, command: argparse.ArgumentParser) -> None:
        """Add where the server is, and how to show what it says."""
        self.add(
            command,
            "--base-url",
            _base_url,
            default="http://127.0.0.1:5000",
            help_text="address of the server, http://127.0.0.1:5000 unless given",
            metavar="URL",
        )
        self.add(
            command,
            "--api-key",
            _api_key,
            help_text="key that the server knows",
            metavar="KEY",
        )
        _add_json(command)

    def add_max_wait(self, command: argparse.ArgumentParser) -> None:
        """Add how long to wait."""
        self.add(
            command,
            "--max-wait",
            _seconds,
            help_text="give up after so many seconds, never unless given",
            metavar="SECONDS",
        )

    def add_on_exit(self, command: argparse.ArgumentParser) -> None:
        """Add what becomes of jobs that still run."""
        self.add(
            command,
            "--on-exit",
            _on_exit,
            default="leave",
            help_text="what becomes of jobs that still run when this ends, interrupted"
            " or out of time: leave or cancel, leave unless given",
            metavar="WHAT",
        )

    def add_data_dir(self, command: argparse.ArgumentParser) -> None:
        """Add the port of a server, and the folder, which goes by it unless given."""
        self.add(
            command,
            "--port",
            _port,
            default="5000",
            help_text="port of the server, 5000 unless given; 0 takes a free one",
            metavar="PORT",
        )
        self.add(
            command,
            "--data-dir",
            _folder,
            help_text="folder for the store, uploads and results; unless given it is"
            " vtrio/PORT in the user's data, and a temporary one for port 0",
            metavar="FOLDER",
        )

    def add_history(self, command: argparse.ArgumentParser) -> None:
        """Add where to keep what is learned."""
        self.add(
            command,
            "--history",
            str,
            help_text="file to keep the durations of jobs in, and to learn from",
            metavar="FILE",
        )


def _add_serve(command: argparse.ArgumentParser, options: _Options) -> None:
    options.add(
        command,
        "--host",
        str,
        default="127.0.0.1",
        help_text="address to listen on, 127.0.0.1 unless given; without an API key"
        " loopback only",
        metavar="HOST",
    )
    options.add_data_dir(command)
    options.add(
        command,
        "--workers",
        _count("workers"),
        default="1",
        help_text="jobs at once, 1 unless given",
        metavar="N",
    )
    for flag, default, help_text in (
        ("--keep", "7d", "how long jobs and results are kept, such as 12h"),
        ("--max-run-time", "6h", "how long one job may be worked on"),
        ("--grace", "5", "within how many seconds to end after a signal"),
    ):
        options.add(
            command,
            flag,
            _duration(flag.removeprefix("--"), least=0 if flag == "--grace" else None),
            default=default,
            help_text=f"{help_text}, {default} unless given",
            metavar="DURATION",
        )
    for flag, default, help_text in _LIMITS:
        options.add(
            command,
            flag,
            _count(flag.removeprefix("--"), least=int(flag != "--min-upload-rate")),
            default=default,
            help_text=f"{help_text}, {default} unless given",
            metavar="N",
        )
    _add_engine(command, options)
    options.add(
        command,
        "--durations",
        _durations,
        help_text="of the simulated engine: such as uniform:5,15 or lognormal:60,0.5",
        metavar="FAMILY:NUMBERS",
    )
    options.add(
        command,
        "--failure-rate",
        _share,
        help_text="of the simulated engine: share of jobs that fail, 0 unless given",
        metavar="SHARE",
    )
    options.add(
        command,
        "--seed",
        _seed,
        help_text="of the simulated engine: fixes all that is drawn",
        metavar="N",
    )


def _add_keys(command: argparse.ArgumentParser, options: _Options) -> None:
    commands = command.add_subparsers(
        dest="keys_command", required=True, metavar="WHAT", parser_class=_Parser
    )
    add = commands.add_parser("add", help="make a key, and print it this once")
    add.add_argument("name", metavar="NAME", help="whose it is, for people")
    listing = commands.add_parser("list", help="list the keys, without their secrets")
    revoke = commands.add_parser("revoke", help="have a key open nothing any more")
    revoke.add_argument("id", metavar="ID", help="as listed; or the whole key")
    for command_of_keys in (add, listing, revoke):
        options.add_data_dir(command_of_keys)
        _add_json(command_of_keys)


def _add_translate(command: argparse.ArgumentParser, options: _Options) -> None:
    command.add_argument("files", metavar="FILE", nargs="+", help="video files")
    command.add_argument(
        "--to",
        required=True,
        metavar="LANG",
        type=_checked(_language),
        help="target language, such as pt",
    )
    command.add_argument(
        "--from",
        dest="source_language",
        metavar="LANG",
        type=_checked(_language),
        help="language that is spoken, found out unless given",
    )
    _add_output(command)
    options.add_server(command)
    options.add_max_wait(command)
    options.add_history(command)
    options.add_on_exit(command)


def _add_resume(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resume",
        metavar="FILE",
        help="go on with what another command has left in FILE, - for standard input:"
        " it says which jobs, where their results go unless --into does, and which"
        " server unless --base-url itself is given; take none from strangers",
    )


def _add_demo(command: argparse.ArgumentParser, options: _Options) -> None:
    _add_engine(command, options)
    command.add_argument(
        "-o",
        dest="output",
        metavar="OUT",
        help="where the result goes, vtrio-demo/sense.pt.mp4 unless given",
    )
    options.add_max_wait(command)
    _add_json(command)


def _add_engine(command: argparse.ArgumentParser, options: _Options) -> None:
    options.add(
        command,
        "--engine",
        _engine,
        help_text="local (really translates) or simulated; local where installed",
        metavar="ENGINE",
    )


def _add_output(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument("-o", dest="output", metavar="OUT", help="file for the result")
    where.add_argument("--into", metavar="FOLDER", help="folder for the results")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line, and nothing else, on standard output",
    )


def _checked(read: Callable[[str], object]) -> Callable[[str], Any]:
    """Let a check's own sentence through: argparse would replace it with its own."""

    def read_checked(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            told = str(error)
            if isinstance(text, _FromEnvironment):
                told = f"{told} (it came from {text.variable})"
            raise argparse.ArgumentTypeError(told) from None

    return read_checked


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"{name}={shorten(text)} is not allowed: must be a number"
        ) from None


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"{name}={shorten(text)} is not allowed: must be a whole number"
        ) from None


def _seconds(text: str) -> float:
    seconds = _number("max-wait", text)
    check_number("max-wait", seconds, above=0)
    return seconds


def _share(text: str) -> float:
    share = _number("failure-rate", text)
    check_number("failure-rate", share, least=0, most=1)
    return share


def _seed(text: str) -> int:
    return _whole("seed", text)


def _count(name: str, *, least: int = 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        count = _whole(name, text)
        check_count(name, count, least=least)
        return count

    return read


def _duration(name: str, *, least: float | None = None) -> Callable[[str], float]:
    """Read seconds, or a number with a unit: 90, 90s, 15m, 12h, 7d."""

    def read(text: str) -> float:
        unit = _UNITS.get(text[-1:])
        try:
            seconds = float(text[:-1] if unit else text) * (unit or 1)
        except ValueError:
            raise ValueError(
                f"{name}={shorten(text)} is not allowed: must be seconds, or a number"
                f" with one of {', '.join(_UNITS)} behind it, such as 12h"
            ) from None
        if least is None:
            check_number(name, seconds, above=0)
        else:
            check_number(name, seconds, least=least)
        return seconds

    return read


def _folder(text: str) -> str:
    if not text:
        raise ValueError(
            "data-dir='' is not allowed: must be a folder, such as . for this one"
        )
    return text


def _port(text: str) -> int:
    port = _whole("port", text)
    check_number("port", port, least=0, most=65_535)
    return port


def _engine(text: str) -> str:
    if text not in _ENGINES:
        raise ValueError(
            f"engine={shorten(text)} is not allowed: must be one of"
            f" {', '.join(_ENGINES)}"
        )
    return text


def _on_exit(text: str) -> str:
    if text not in {"leave", "cancel"}:
        raise ValueError(
            f"on-exit={shorten(text)} is not allowed: must be leave or cancel"
        )
    return text


def _durations(text: str) -> object:
    from .._distributions import Durations

    return Durations.parse(text)


# What follows is imported when it is needed: asking for the version needs none of it.


def _base_url(text: str) -> str:
    from .._arguments import check_base_url

    return check_base_url(text)


def _api_key(text: str) -> str | None:
    from .._arguments import check_api_key

    return check_api_key(text)


def _language(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]{1,8}([-_][A-Za-z0-9]{1,8})*", text):
        raise ValueError(
            f"language={shorten(text)} is not allowed: must be a language tag such as"
            " pt or pt-BR"
        )
    return text


def _job_id(text: str) -> str:
    from .._arguments import check_text

    return check_text("ID", text)
