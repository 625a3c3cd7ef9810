"""The log: one JSON object per line, whatever is logged."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from webhook_launcher.core.source import Secret
from webhook_launcher.log import JsonLines, set_up


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The launcher's logger, as it was before."""
    found = logging.getLogger("webhook_launcher")
    before = (found.handlers, found.level, found.propagate)
    yield found
    found.handlers, found.level, found.propagate = before


@pytest.fixture
def written(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the set-up log writes to standard error."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    set_up()
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Every line, read as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_object_with_its_fields(written: io.StringIO) -> None:
    """Time, level and event always; then what happened, by name, for machines to filter."""
    logging.getLogger("webhook_launcher.worker").info(
        "settled", extra={"workload": "web", "attempt": 2, "deployment": None}
    )
    (line,) = lines(written)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "event": "settled", "workload": "web", "attempt": 2}


def test_foreign_text_never_makes_a_second_line(written: io.StringIO) -> None:
    """A sender's reason with line ends would forge log entries."""
    text = 'x\n{"event": "forged"}\r\u2028\x1b[31m'
    logging.getLogger("webhook_launcher").warning("refused", extra={"detail": text})
    (line,) = lines(written)
    assert line["detail"] == text
    assert written.getvalue().isascii()


def test_a_field_cannot_take_the_place_of_the_event(written: io.StringIO) -> None:
    """`event`, `time` and `level` are what every line is searched by."""
    extra = {"event": "forged", "level": "debug", "time": "never"}
    logging.getLogger("webhook_launcher").info("real", extra=extra)
    (line,) = lines(written)
    assert (line["event"], line["level"]) == ("real", "info")
    assert line["time"] != "never"


def test_a_traceback_is_a_field(written: io.StringIO) -> None:
    """Of the same line, so that it stays with its event."""
    try:
        int("broken")
    except ValueError:
        logging.getLogger("webhook_launcher").exception("fault")
    (line,) = lines(written)
    assert "ValueError: invalid literal" in line["traceback"]


def test_values_that_json_does_not_know_are_written_as_text(written: io.StringIO) -> None:
    """A log line must never be the reason for a fault; and no secret shows in any text of it."""
    secret = Secret("id-of-it", b"canary-secret")
    logging.getLogger("webhook_launcher").info("odd", extra={"value": secret, "items": {1, 2}})
    (line,) = lines(written)
    assert "id-of-it" in line["value"]
    assert "canary" not in written.getvalue()


def test_set_up_twice_writes_once(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload must not double every line."""
    monkeypatch.setattr("sys.stderr", written)  # pytest puts its own back after the fixtures
    set_up()
    logging.getLogger("webhook_launcher").info("once")
    assert len(lines(written)) == 1


def test_other_loggers_are_left_alone(logger: logging.Logger, written: io.StringIO) -> None:
    """urllib3 logs URLs at debug level; only our own log is turned on."""
    logging.getLogger("urllib3.connectionpool").debug("canary-url")
    logging.getLogger("webhook_launcher").debug("too fine")
    assert written.getvalue() == ""
    assert not logger.propagate


def test_times_are_utc(written: io.StringIO) -> None:
    """Logs of two machines are compared."""
    record = logging.makeLogRecord({"created": 0.0, "msg": "then", "levelname": "INFO"})
    assert json.loads(JsonLines().format(record))["time"] == "1970-01-01T00:00:00.000Z"
