"""The engine's multiplexed output."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.adapters.engine.frames import Tail, read_frames


def frame(stream: int, content: bytes) -> bytes:
    """One frame as the engine sends it."""
    return struct.pack(">BxxxL", stream, len(content)) + content


@given(
    st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=50)), max_size=8),
    st.integers(1, 20),
)
def test_frames_may_come_in_pieces_of_any_size(frames: list[tuple[int, bytes]], size: int) -> None:
    """The network cuts where it likes, in the middle of a header too."""
    stream = b"".join(frame(number, content) for number, content in frames)
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    kept = Tail(10_000)
    read_frames(pieces, kept)
    assert kept.text() == b"".join(content for _, content in frames).decode("utf-8", "replace")


def test_only_the_end_is_kept_and_that_is_said() -> None:
    """The reason of a crash is in the last lines; a log can be any length."""
    kept = Tail(5)
    read_frames([frame(1, b"0123456789")], kept)
    assert kept.text() == "[...] 56789"


def test_a_stream_that_breaks_off_gives_what_came() -> None:
    """A container that is removed meanwhile ends its log in the middle of a frame."""
    kept = Tail(100)
    read_frames([frame(2, b"whole"), frame(1, b"cut off")[:-3]], kept)
    assert kept.text() == "wholecut "


def test_a_terminal_has_no_frames() -> None:
    """With `tty: true` the engine sends the bytes as they are."""
    kept = Tail(100)
    read_frames([b"plain ", b"text"], kept, raw=True)
    assert kept.text() == "plain text"
