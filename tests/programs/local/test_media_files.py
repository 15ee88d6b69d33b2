"""Media files: what they are by their bytes, and what ffmpeg says is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._container import demuxer_of
from vtrio.server.engines.local._probe import parse_media


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
  Stream #0:1[0x1](und): Video: h264 (High) (avc1 / 0x31637661), 15 fps (default)
  Stream #0:2[0x2](eng): Audio: aac (LC), 16000 Hz, mono, fltp, 49 kb/s
  Stream #0:3[0x3](por): Audio: opus, 48000 Hz, stereo, fltp (default)
  Stream #0:4(pt-BR): Subtitle: mov_text (tx3g / 0x67337874), 0 kb/s
"""


def test_a_description_is_read() -> None:
    """Streams, length and the main tracks come out of ffmpeg's words."""
    media = parse_media(DESCRIPTION)
    picture, sound = media.main("video"), media.main("audio")

    assert media.seconds == 3723.5
    assert [stream.index for stream in media.streams] == [0, 1, 2, 3, 4]
    assert picture is not None
    assert (picture.index, picture.codec, picture.language) == (1, "h264", "und")
    assert sound is not None
    assert (sound.index, sound.codec) == (3, "opus")


@given(st.text())
def test_any_words_can_be_read(words: str) -> None:
    """What is no description has no streams, and nothing fails."""
    assert parse_media(f"Duration: N/A\n{words}").main("subtitle") is None
