"""Lines on a stream: whole, flushed, and no traceback when the reader goes away."""

import io
import os
import subprocess
import sys
from pathlib import Path

from psstopd.delivery.sink import Answer, Sink, accepted
from psstopd.delivery.stdout import StdoutSink

LINES = ["psstop,host=h,name=ünï pss_bytes=1i 1", "psstopd,host=h up=1i 1"]


def test_lines_come_out_at_once() -> None:
    """Every line ends with a newline, in UTF-8, and leaves the buffer before `send` returns."""
    raw = io.BytesIO()
    sink: Sink = StdoutSink(io.BufferedWriter(raw))

    answer = sink.send(LINES)

    assert accepted(answer)
    assert raw.getvalue().decode() == "".join(f"{line}\n" for line in LINES)


def test_no_lines_are_no_output() -> None:
    """An empty batch is accepted and writes nothing, not even an empty line."""
    stream = io.BytesIO()

    answer = StdoutSink(stream).send([])

    assert (accepted(answer), stream.getvalue()) == (True, b"")


def test_a_closed_pipe_stays_closed() -> None:
    """Once the reader has gone, this send and all after it say so, and none counts as accepted."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        sink = StdoutSink(stream)
        os.close(reader)

        answers = [sink.send(LINES), sink.send(LINES)]

    assert answers == [Answer(None, error="BrokenPipeError: the reader has gone")] * 2
    assert sink.closed


def test_a_full_disk_is_not_the_end() -> None:
    """A stream that cannot take more right now is an error, but the reader is still there."""
    stream = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed below
    with stream:
        sink = StdoutSink(stream)

        answer = sink.send(LINES)

    assert answer == Answer(None, error="OSError: no space left on device")
    assert not sink.closed


def test_a_closed_stream_is_an_answer() -> None:
    """A stream that somebody closed is treated like a reader that has gone."""
    stream = io.BytesIO()
    stream.close()
    sink = StdoutSink(stream)

    answer = sink.send(LINES)

    assert answer == Answer(None, error="ValueError: the stream is closed")
    assert sink.closed


def test_closing_leaves_the_stream_open() -> None:
    """The stream belongs to whoever made it."""
    stream = io.BytesIO()

    StdoutSink(stream).close()

    assert not stream.closed


def test_a_program_whose_reader_left_ends_quietly() -> None:
    """Not even the interpreter's own last flush complains about the broken pipe."""
    program = (
        "import sys; from psstopd.delivery.stdout import StdoutSink; sink = StdoutSink(sys.stdout.buffer)\n"
        "sys.stdin.read(); print(sink.send(['m f=1i 1'] * 10000).error, file=sys.stderr)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None

    _, stderr = child.communicate(b"", timeout=30)

    assert (child.returncode, stderr) == (0, b"BrokenPipeError: the reader has gone\n")
