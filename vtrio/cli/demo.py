"""`vtrio demo`: a server of its own, the sample video, and a wait by polling."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

import trio

from .._errors import VtrioError
from ..client import VideoTranslationClient
from ..schedules import Exponential
from .commands import fetch, run_trio
from .drawing import Drawing, JsonDrawing, LineDrawing
from .exits import Exit, exit_of
from .parser import UsageError
from .serving import engine_of

SAMPLE = Path(__file__).parent.parent / "samples" / "sense.mp4"
TARGET_LANGUAGE = "pt"
# Somebody is watching: ask a little more often than a program would.
SCHEDULE = Exponential(0.5, 1.3, cap=2)


def run_demo(options: argparse.Namespace) -> int:
    """Translate the sample, or play the seed's test script against `/status`."""
    # Without one that was asked for, the demonstration is of the real thing.
    options.engine = options.engine or "local"
    try:
        from .. import server  # noqa: F401 - told apart from what fails later
        from ..server import ServerSettings, serve
    except ImportError as error:
        raise UsageError(str(error)) from None
    engine = engine_of(options)
    output = Path(
        options.output or f"vtrio-demo/sense.{TARGET_LANGUAGE}.mp4"
    ).absolute()
    if options.engine != "simulated":
        _make_room(output)

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            serving = await nursery.start(
                partial(serve, engine, ServerSettings(port=0), stop=stop)
            )
            if not options.json:
                _say("server", serving.url)
            if options.engine == "simulated":
                status = await _ask_for_the_status(serving.url, options)
            else:
                status = await _translate_the_sample(serving.url, output, options)
            stop.set()
        return status

    return run_trio(main)


def _make_room(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"-o {output} is not allowed: must be in a folder that can be made"
            f" ({error.strerror})"
        ) from None
    if output.is_dir():
        raise UsageError(f"-o {output} is not allowed: must be a file, not a folder")


async def _ask_for_the_status(url: str, options: argparse.Namespace) -> int:
    """The seed's script: `get_status` on `/status`, with a callback."""
    client = VideoTranslationClient(url, max_wait_time=options.max_wait or 60)
    say = _say_json if options.json else _say
    final = await client.get_status(on_update=lambda word: say("status", word))
    say("final status", final)
    return {"completed": Exit.COMPLETED, "error": Exit.ENDED_BADLY}.get(
        final, Exit.TIMED_OUT
    )


async def _translate_the_sample(
    url: str, output: Path, options: argparse.Namespace
) -> int:
    drawing: Drawing = JsonDrawing() if options.json else LineDrawing(sys.stdout)
    name = SAMPLE.name
    job_id = ""
    async with VideoTranslationClient(url, schedule=SCHEDULE) as client:
        try:
            job = await client.submit(SAMPLE, TARGET_LANGUAGE)
            job_id = job.id
            drawing.submitted(job, name)
            done = await client.wait(
                job,
                max_wait_time=options.max_wait,
                on_job=lambda seen: drawing.changed(seen, name),
            )
            await fetch(client, drawing, done, output, name=name)
        except VtrioError as error:
            drawing.failed(error, job_id, name)
            return exit_of(error)
    if not options.json:
        _say("final status", done.status)
        _say("result", os.fspath(output))
    return Exit.COMPLETED


def _say(what: str, value: str) -> None:
    print(f"{what}: {value}", flush=True)


def _say_json(what: str, value: str) -> None:
    print(json.dumps({"event": "status", "status": value}), flush=True)
