"""Where results go: refused before anything is done, if it cannot work."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._places import Places, result_name
from .parser import UsageError


def outputs_of_files(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Say where the result of each file goes.

    Raises:
        UsageError: a file is not there, or two results would be one.
    """
    files = [Path(file) for file in options.files]
    for file in files:
        if not file.is_file():
            raise UsageError(f"FILE={str(file)!r} is not allowed: must be a file")
    into = _folder(options)
    outputs = [
        (file.parent if into is None else into) / result_name(file, options.to)
        for file in files
    ]
    if options.output is not None:
        outputs = [_one_output(options, len(files))]
    pairs = list(zip(files, outputs, strict=True))
    _check_places(pairs)
    return pairs


def outputs_of_ids(options: argparse.Namespace) -> dict[str, Path | None]:
    """Say where the result of each job goes; None for nowhere.

    Raises:
        UsageError: a result cannot have a place of its own.
    """
    ids = list(dict.fromkeys(options.ids))
    into = _folder(options)
    if options.output is not None:
        output = _one_output(options, len(ids))
        _check_places([(None, output)])
        return {ids[0]: output}
    if into is None:
        return dict.fromkeys(ids)
    outputs = {job_id: into / f"{_fit(job_id)}.mp4" for job_id in ids}
    return dict(outputs)


def outputs_of_left(
    options: argparse.Namespace, jobs: Sequence[Mapping[str, Any]]
) -> dict[str, Path | None]:
    """Say where the result of each job goes that was left; None for nowhere.

    Raises:
        UsageError: a result cannot have a place of its own.
    """
    into = _folder(options)
    outputs: dict[str, Path | None] = {}
    for job in jobs:
        job_id, output = job["id"], job.get("output")
        if into is None:
            outputs[job_id] = None if output is None else Path(output)
        elif output is None:
            outputs[job_id] = into / f"{_fit(job_id)}.mp4"
        else:
            outputs[job_id] = into / Path(output).name
    _check_places((None, output) for output in outputs.values() if output is not None)
    return outputs


def _fit(job_id: str) -> str:
    if Path(job_id).name != job_id:
        raise UsageError(
            f"ID={job_id!r} is not allowed with --into: must be fit for the name of"
            " a file; use -o"
        )
    return job_id


def _check_places(pairs: Iterable[tuple[Path | None, Path]]) -> None:
    """Refuse results that would overwrite each other, or what they are made from."""
    places = Places()
    for source, output in pairs:
        taken = places.take(output, source)
        if taken is not None:
            raise UsageError(
                f"two files would be in one place, {str(taken)!r}; give each result"
                " a place of its own with -o, and a name that does not end in .vtt"
            )


def _one_output(options: argparse.Namespace, jobs: int) -> Path:
    output = Path(options.output)
    if jobs > 1:
        raise UsageError(
            f"-o {options.output} names one file for {jobs} results; use --into FOLDER"
        )
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(
            f"-o {options.output} is not allowed: must be a file in a folder that is"
            " there"
        )
    return output


def _folder(options: argparse.Namespace) -> Path | None:
    if options.into is None:
        return None
    folder = Path(options.into)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--into {options.into} is not allowed: must be a folder ({error.strerror})"
        ) from None
    return folder
