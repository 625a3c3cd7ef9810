"""One JSON object per line on standard error: what happened, with its fields."""

import json
import logging
from datetime import UTC, datetime

# What every LogRecord has; everything else on it was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_encode = json.JSONEncoder(default=str).encode


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; absent fields (None) are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and value is not None:
                line.setdefault(name, value)  # a field cannot take the place of the event itself
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


def _utc(seconds: float) -> str:
    """RFC 3339, as the API writes times."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_up(level: int = logging.INFO) -> None:
    """Send the launcher's own log to standard error as JSON lines."""
    stream = logging.StreamHandler()
    stream.setFormatter(JsonLines())
    logger = logging.getLogger("webhook_launcher")
    logger.handlers = [stream]
    logger.setLevel(level)
    logger.propagate = False
