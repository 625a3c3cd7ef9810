"""Samples of a run as a table for people and a document for programs."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from testbed.contenders.contest import Sample

TARGET = 1.15


class Series:
    """The samples of every way at one healthcheck interval, by round."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.samples: dict[str, list[Sample]] = {}

    def add(self, name: str, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.setdefault(name, []).append(sample)

    @property
    def ratios(self) -> list[float]:
        """Push to healthy, launcher against floor, in each round."""
        pairs = zip(self.samples["launcher"], self.samples["floor"], strict=True)
        return [
            launcher.healthy / floor.healthy
            for launcher, floor in pairs
            if launcher.healthy is not None and floor.healthy is not None
        ]

    @property
    def ratio(self) -> float:
        """The median of the rounds: what disturbs one of them moves it little."""
        return median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the launcher is as fast as it has to be."""
        return self.ratio <= TARGET

    def document(self) -> dict[str, Any]:
        """Everything measured, in seconds."""
        return {
            "interval": self.interval,
            "ratio": round(self.ratio, 3),
            "met": self.met,
            "samples": {
                name: [
                    {
                        "served": round(sample.served, 4),
                        "healthy": None if sample.healthy is None else round(sample.healthy, 4),
                        "steps": {step: round(taken, 4) for step, taken in sample.steps.items()},
                    }
                    for sample in samples
                ]
                for name, samples in self.samples.items()
            },
        }

    def table(self) -> str:
        """Lines for people, in milliseconds."""
        lines = [
            f"healthcheck interval {self.interval:g} s",
            f"  {'push to':<24}{'n':>4}{'min':>9}{'median':>9}{'mean':>9}{'max':>9}  ms",
        ]
        for name, samples in self.samples.items():
            lines.append(_row(f"{name}: served", [sample.served for sample in samples]))
            healthy = [sample.healthy for sample in samples if sample.healthy is not None]
            if healthy:
                lines.append(_row(f"{name}: healthy", healthy))
        verdict = "met" if self.met else "MISSED"
        lines.append(
            f"  launcher / floor, push to healthy, median of pairs: {self.ratio:.3f}  "
            f"({min(self.ratios):.2f} to {max(self.ratios):.2f}; "
            f"target at most {TARGET}: {verdict})"
        )
        lines += [self._steps("launcher"), self._steps("floor")]
        return "\n".join(lines)

    def _steps(self, name: str) -> str:
        samples = self.samples[name]
        parts = [
            f"{step} {_ms(median(sample.steps[step] for sample in samples))}"
            for step in samples[0].steps
        ]
        rest = median((sample.healthy or 0) - sum(sample.steps.values()) for sample in samples)
        return f"  steps of {name}, median ms: {', '.join(parts)}; all else {_ms(rest)}"


def _row(label: str, seconds: Sequence[float]) -> str:
    shown = (min(seconds), median(seconds), _mean(seconds), max(seconds))
    return f"  {label:<24}{len(seconds):>4}" + "".join(f"{_ms(value):>9}" for value in shown)


def _mean(seconds: Iterable[float]) -> float:
    kept = list(seconds)
    return sum(kept) / len(kept)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"
