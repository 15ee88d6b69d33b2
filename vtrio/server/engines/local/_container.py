"""What kind of file an upload is, told from its first bytes.

ffmpeg's own guess is not asked: it would open a text playlist named `.mp4` as a
playlist and read the files and addresses that it lists.
"""

from __future__ import annotations

from pathlib import Path

from .._base import EngineError

_TS_PACKET = 188
_ENOUGH = 3 * (_TS_PACKET + 4)

# The first boxes of an mp4 or QuickTime file.
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})

# Those that stand beside them at the top, in whole files and in fragmented ones.
_TOP_BOXES = _BOXES | {b"uuid", b"meta", b"moof", b"mfra", b"sidx", b"styp", b"emsg"}

_BOX_HEAD = 8

_STARTS = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"OggS": "ogg",
    b"FLV\x01": "flv",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"\x00\x00\x01\xba": "mpeg",
}


def demuxer_of(head: bytes) -> str | None:
    """Return ffmpeg's name for the container that begins so; None if it is none."""
    if head[4:8] in _BOXES:
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    for start, demuxer in _STARTS.items():
        if head.startswith(start):
            return demuxer
    # A transport stream's packets begin with 0x47; those of a Blu-ray carry four bytes
    # more, in front.
    for size, at in ((_TS_PACKET, 0), (_TS_PACKET + 4, 4)):
        syncs = head[at::size][:3]
        if len(syncs) == 3 and syncs == b"\x47" * 3:
            return "mpegts"
    return None


def read_demuxer(path: Path) -> str:
    """Return the demuxer for the file.

    Raises:
        EngineError: `not-a-video`, it is none of the containers we open.
    """
    with path.open("rb") as file:
        head = file.read(_ENOUGH)
    demuxer = demuxer_of(head)
    if demuxer is None:
        raise not_a_video(
            "the file is empty" if not head else f"it begins with {head[:12]!r}"
        )
    return demuxer


def is_cut_off(path: Path) -> bool:
    """Tell whether an mp4 or QuickTime file ends inside a box, or before its index.

    Each box tells its size, so a walk from box to box is enough. What is no box is
    not cut off but broken.
    """
    size = path.stat().st_size
    at, kinds = 0, set()
    with path.open("rb") as file:
        while at + _BOX_HEAD <= size:
            file.seek(at)
            head = file.read(2 * _BOX_HEAD)
            kind, length = head[4:8], _box_length(head, size - at)
            if kind not in _TOP_BOXES or length < _BOX_HEAD:
                return False
            kinds.add(kind)
            at += length
    return at != size or b"moov" not in kinds


def _box_length(head: bytes, rest: int) -> int:
    match int.from_bytes(head[:4], "big"):
        case 0:  # the last box, as long as the file
            return rest
        case 1:  # too long for four bytes
            return int.from_bytes(head[8:16], "big")
        case size:
            return size


def cut_off() -> EngineError:
    """Return the error for an upload that broke off, whoever finds it out."""
    return EngineError(
        "cut-off",
        "The video is cut off",
        "its end is missing; send the whole file",
        permanent=True,
    )


def not_a_video(detail: str) -> EngineError:
    """Return the error for what is no video, whoever finds it out."""
    return EngineError(
        "not-a-video",
        "The file is not a video that can be read",
        f"{detail}; send mp4, mov, mkv, webm, avi or ts",
        permanent=True,
    )
