"""`/metrics` in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).

Everybody who reaches the port may read it: label values are names of the configuration and fixed
words, never anything of a request, and no secret.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from flask import Blueprint, Response

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "webhook_launcher_"
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Metric:
    """What it says, the names of its labels, and its values by their values."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]
    type: Literal["gauge", "counter"] = "gauge"


def blueprint(gather: Callable[[], Iterable[Metric]]) -> Blueprint:
    """`GET /metrics`; what `gather` raises is answered as a problem."""
    metrics = Blueprint("metrics", __name__)

    @metrics.get("/metrics")
    def show() -> Response:
        return Response("".join(map(_text, gather())), content_type=_TYPE)

    return metrics


def _text(metric: Metric) -> str:
    name = _PREFIX + metric.name
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.type}"]
    for texts, value in metric.values.items():
        labels = zip(metric.labels, texts, strict=True)
        shown = ",".join(f'{label}="{text.translate(_ESCAPED)}"' for label, text in labels)
        lines.append(f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """All of its digits: a time has ten before its point."""
    return repr(float(value)).removesuffix(".0")
