"""Media files: what they are by their bytes, and what ffmpeg says is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._container import demuxer_of, is_cut_off
from vtrio.server.engines.local._ffmpeg import _LONGEST_LINE, Ffmpeg, local
from vtrio.server.engines.local._probe import last_end, parse_media


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        ((b"\x47" + b"\0" * 187) * 3, "mpegts"),
        ((b"\0\0\0\0\x47" + b"\0" * 187) * 3, "mpegts"),
        (b"G" + b"\0" * 187 + b"G", None),
        (b"\0\0\x01\xba\x44", "mpeg"),
        (b"OggS", "ogg"),
        (b"FLV\x01\x05", "flv"),
        (b"#EXTM3U\n", None),
        (b"ffconcat version 1.0", None),
        (b"", None),
    ],
)
def test_a_container_is_told_from_its_first_bytes(
    head: bytes, demuxer: str | None
) -> None:
    """Only what is known by its bytes is opened."""
    assert demuxer_of(head) == demuxer


DESCRIPTION = """\
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/x.mp4':
  Metadata:
    title           : Stream #0:9: Video: fake
  Duration: 01:02:03.50, start: 0.000000, bitrate: 119 kb/s
  Stream #0:0: Video: mjpeg (Baseline), yuvj420p, 300x300, 90k tbr (attached pic)
  Stream #0:1[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv), 15 fps (default)
  Stream #0:2[0x2](eng): Audio: aac (LC), 16000 Hz, mono, fltp, 49 kb/s
  Stream #0:3[0x3](por): Audio: opus, 48000 Hz, stereo, fltp (default)
  Stream #0:4(pt-BR): Subtitle: mov_text (tx3g / 0x67337874), 0 kb/s
"""


def test_a_description_is_read() -> None:
    """Streams, length and the main tracks come out of ffmpeg's words."""
    media = parse_media(DESCRIPTION.splitlines())
    picture, sound = media.main("video"), media.main("audio")

    assert media.seconds == 3723.5
    assert [stream.index for stream in media.streams] == [0, 1, 2, 3, 4]
    assert picture is not None
    assert (picture.index, picture.codec, picture.language) == (1, "h264", "und")
    assert picture.pixels == "yuv420p"
    assert sound is not None
    assert (sound.index, sound.codec) == (3, "opus")


@given(st.text())
def test_any_words_can_be_read(words: str) -> None:
    """What is no description has no streams, and nothing fails."""
    lines = ["Input #0, mov", "  Duration: N/A, start: 0", *words.split("\n")]
    assert parse_media(lines).main("subtitle") is None


@pytest.mark.parametrize(
    ("line", "seconds", "count"),
    [
        ("  Stream #0:1[0x2](eng): Audio: mp3, 16000 Hz", 3723.5, 0),
        ("  Stream #0:9: Audio: aac, 16000 Hz", 3723.5, 0),
        ("  Duration: 00:00:01.00, start: 0.000000, bitrate: 1 kb/s", None, 5),
        ("  Duration: N/A, start: 0.000000, bitrate: N/A", None, 5),
        ("      title           : Stream #0:9: Audio: aac", 3723.5, 5),
        ("      Stream #0:9: Audio: aac", 3723.5, 5),
        ("[mov @ 0x1] a complaint\n  Stream #0:5: Audio: aac", 3723.5, 5),
    ],
    ids=["again", "beyond", "length", "lengthless", "title", "key", "behind"],
)
def test_a_description_that_contradicts_itself_is_not_believed(
    line: str, seconds: float | None, count: int
) -> None:
    """Metadata can look like a stream, but not like the one that is there."""
    media = parse_media([*DESCRIPTION.splitlines(), *line.split("\n")])

    expected = seconds if count else None
    assert (media.seconds, len(media.streams)) == (expected, count)


def test_a_stream_before_the_length_is_metadata() -> None:
    """Before its version 5, ffmpeg indents both alike."""
    forged = "    Stream #0:5: Audio: aac, 16000 Hz"
    lines = DESCRIPTION.splitlines()

    assert len(parse_media([*lines[:2], forged, *lines[2:]]).streams) == 5
    assert len(parse_media([*lines, forged]).streams) == 6


def test_a_stream_of_two_programs_counts_once() -> None:
    """It is told below each of them, in the same words."""
    twice = [*DESCRIPTION.splitlines(), DESCRIPTION.splitlines()[-1]]

    assert len(parse_media(twice).streams) == 5


def test_long_metadata_is_never_taken_for_a_stream(
    ffmpeg: Ffmpeg, short_clip: Path, tmp_path: Path
) -> None:
    """A line that is cut has no second half that could begin like another line."""
    clip = tmp_path / "clip.mkv"
    forged = "  Stream #0:9: Audio: aac, 1 Hz, mono (default)"
    # ffmpeg writes a space for each carriage return.
    before = len("    title           : ") + 9 * (len(forged) + 1) + 1
    value = "\r".join(["x" * (_LONGEST_LINE - before), *[forged] * 20])
    title = ["-metadata", f"title={value}"]
    ffmpeg.run("-i", local(short_clip), "-c", "copy", *title, local(clip))

    upload = ffmpeg.describe(clip)
    assert (upload.picture.index, upload.sound.index) == (0, 1)
    assert upload.seconds == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("table", "seconds"),
    [
        (["#tb 0: 1/10", "0, -2, 0, 1, 99, 0xa", "0, 0, 5, 1, 9, 0xb"], 0.6),
        (["#tb 0: 1/10", "0, 0, 5, 2, 9, 0xb", "0, 1, 3, 2, 9, 0xb"], 0.7),
        (["#tb 0: 1/10", "0, -9223372036854775808, -9223372036854775808, 1, 9"], 0),
        (["#tb 0: 1/10"], 0),
        ([], 0),
    ],
)
def test_a_stream_ends_with_the_frame_that_is_shown_last(
    table: list[str], seconds: float
) -> None:
    """That is not always the one that comes last; and there may be none."""
    assert last_end(table) == pytest.approx(seconds)


def test_what_is_no_box_is_broken_not_cut_off(tmp_path: Path) -> None:
    """A walk over the boxes tells where a file ends that should go on."""
    file = tmp_path / "f.mp4"
    ftyp, long = b"\0\0\0\x10ftypisom\0\0\0\0", b"\0\0\0\x01mdat" + b"\0" * 7
    for content, told in [
        (ftyp, True),
        (ftyp + b"\0\0", True),
        (ftyp + b"\0\0\0\0mdat and so on", True),
        (ftyp + b"\0\0\x10\0moov", True),
        (ftyp + long + b"\x11.", True),
        (ftyp + b"\0\0\0\x08moov", False),
        (ftyp + b"\0\0\0\x07moov", False),
        (ftyp + b"\0\0\x10\0xxxx", False),
        (ftyp + long + b"\0", False),
    ]:
        file.write_bytes(content)
        assert is_cut_off(file) is told, content
