"""What every part of the benchmark gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """One bar of the picture; `ours` are drawn in the colour of the launcher."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    """A group of bars on one scale."""

    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Figure:
    """A part, measured."""

    name: str
    table: str
    document: dict[str, Any]
    panels: Sequence[Panel] = field(default_factory=tuple)
