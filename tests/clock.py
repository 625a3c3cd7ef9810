"""A clock that a test sets: nothing waits, time passes by sleeping."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Wall and monotonic time that move only by `sleep`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.start = start
        self.elapsed = 0.0

    def now(self) -> datetime:
        """Wall time."""
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed += seconds
