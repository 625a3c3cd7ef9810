"""Whole deliveries, taken in turns and journaled together.

What came during one commit shares the next. The worker's main thread hears deliveries; the
journal's thread writes them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from webhook_launcher.core.model import Heard
from webhook_launcher.web.answer import Answer
from webhook_launcher.web.reception import Arrival, Outcome, Reception, is_news
from webhook_launcher.web.turns import Turns

T = TypeVar("T")

# Deliveries of one commit: what one statement writes must not keep the others waiting for long.
_MOST = 256


class Batches(Generic[T]):
    """Each delivery comes with a ticket; `answer` gets the ticket and the answer.

    `soon` runs a call in the main thread, where all the rest is called.
    """

    def __init__(
        self,
        answer: Callable[[T, Answer], None],
        soon: Callable[..., None],
    ) -> None:
        self._answer = answer
        self._soon = soon
        self._turns: Turns[_Case[T]] = Turns()
        self._heard: dict[Heard, _Case[T]] = {}  # for the next commit
        self._written: dict[Heard, _Case[T]] = {}  # on their way to the disk
        self._newest: Reception | None = None  # of those

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, ticket: T, arrival: Arrival, reception: Reception) -> None:
        """A delivery to be heard when it is its turn, under the configuration it came under."""
        self._turns.add(arrival.source.name, arrival.client, _Case(ticket, arrival, reception))

    def work(self, seconds: float) -> None:
        """Hear deliveries for so long, and hand over what is to be journaled."""
        until = time.monotonic() + seconds
        while self._turns and len(self._heard) < _MOST:
            case = self._turns.take()
            heard = case.reception.hear(case.arrival)
            if isinstance(heard, Answer):
                self._answer(case.ticket, heard)
            else:
                self._heard[heard] = case
            if time.monotonic() > until:
                break
        self._hand_over()

    def _hand_over(self) -> None:
        if not self._heard or self._written:
            return
        self._written, self._heard = self._heard, {}
        # The newest: what it wakes is there, and its limits are those that hold.
        newest = self._newest = list(self._written.values())[-1].reception
        newest.intake.deliveries.accept_all(
            list(self._written), lambda outcomes: self._soon(self._committed, outcomes)
        )

    def _committed(self, outcomes: Mapping[Heard, Outcome]) -> None:
        if self._newest and any(map(is_news, outcomes.values())):
            self._newest.intake.wake()
        answers = []
        for heard, outcome in outcomes.items():
            case = self._written.pop(heard)
            answers.append((case.ticket, case.reception.answer(case.arrival, heard, outcome)))
        self._hand_over()
        for ticket, answer in answers:
            self._answer(ticket, answer)


@dataclass(frozen=True, slots=True)
class _Case(Generic[T]):
    ticket: T
    arrival: Arrival
    reception: Reception
