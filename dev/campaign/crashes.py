"""Kills, stops and reloads between every two steps of a deployment.

A story is a way to make the launcher deploy. It is played once while every event is written down
(`traps`), then once for each moment between two events, with a kill there. After each the launcher
is started again if it died, and everything that must hold is checked. A stop must end in time and
with status 0, a reload must be carried out.
"""

import itertools
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign.results import Result
from campaign.site import PATIENCE, BrokenPromiseError, Site
from campaign.traps import Plan
from testbed.images import Behaviour, Recipe, TestRegistry
from webhook_launcher.core.model import Image

# Seconds into an `up` of two services, which takes about one.
_DURING_UP = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_HOOKS = {"before": [["true"]], "after": [["true"]]}
_RELOADED = "configuration reloaded"
_PLAYS = 3


@dataclass(frozen=True)
class Told:
    """What a story did: the image that must run at the end, and the delivery about which image.

    `answer` is our id of it; None when the launcher did not live to answer, "" when there is none.
    """

    expected: Image
    pushed: Image
    delivery: str
    answer: str | None

    def follow(self, play: "Play") -> None:
        """To its undisturbed end."""
        if self.answer:
            play.site.launcher.outcome(self.answer, PATIENCE)
        play.site.await_release(self.expected)
        play.goes_on_with(self.expected)


class Play:
    """A site on which stories are played; `runs` is the image that runs between them.

    `former` is the one that ran before it, to which an operator would return.
    """

    def __init__(self, registry: TestRegistry, directory: Path) -> None:
        self.site = Site(registry, directory, options={"hooks": _HOOKS})
        self._numbers = itertools.count(1)
        self._recipes: dict[str, Recipe] = {}
        self.runs = self.former = self.push(self.recipe())
        self.site.start()
        self.site.await_release(self.runs)
        deploy(self).follow(self)

    def recipe(self, behaviour: Behaviour = Behaviour.GOOD, **more: Any) -> Recipe:
        """An image that nobody has seen."""
        marker = f"{self.site.repository} {behaviour} {next(self._numbers)}"
        return Recipe(marker, behaviour, interval=0.5, **more)

    def push(self, recipe: Recipe) -> Image:
        """A publisher pushes it."""
        image = self.site.push(recipe)
        self._recipes[image.digest] = recipe
        return image

    def tell(self, recipe: Recipe, *, good: bool) -> Told:
        """Push and announce."""
        pushed, delivery = self.push(recipe), secrets.token_hex(8)
        answer = self.site.announce(pushed, delivery)
        expected = pushed if good else self.runs
        return Told(expected, pushed, delivery, answer.body["delivery"] if answer else None)

    def goes_on_with(self, image: Image) -> None:
        """It is what runs now."""
        if image.digest != self.runs.digest:
            self.runs, self.former = image, self.runs

    def again(self) -> Told:
        """Push and announce once more what runs."""
        return self.tell(self._recipes[self.runs.digest], good=True)


Story = Callable[[Play], Told]


def deploy(play: Play) -> Told:
    """A good image."""
    return play.tell(play.recipe(), good=True)


def unhealthy(play: Play) -> Told:
    """An image that never becomes healthy: the one before comes back."""
    return play.tell(play.recipe(Behaviour.NEVER_HEALTHY), good=False)


def refused(play: Play) -> Told:
    """An image that compose cannot start: the one before comes back, twice."""
    return play.tell(play.recipe(config={"Cmd": ["/no/such/program"]}), good=False)


def not_created(play: Play) -> Told:
    """An image of which the engine makes no container: the one before is never touched."""
    return play.tell(play.recipe(config={"WorkingDir": "/bin/busybox"}), good=False)


def removed(play: Play) -> Told:
    """Somebody removed the containers: what runs is restored."""
    play.site.remove_containers()
    return play.again()


def rolled_back(play: Play) -> Told:
    """An operator returns to the release before; that the tag says another one does not undo it."""
    answer = play.site.launcher.post("/api/v1/workloads/web/rollback")
    if answer.status != 202:
        raise BrokenPromiseError(f"the rollback was answered {answer}")
    return Told(play.former, play.runs, secrets.token_hex(8), "")


STORIES: dict[str, Story] = {
    "deploy": deploy,
    "unhealthy": unhealthy,
    "refused": refused,
    "not created": not_created,
    "removed": removed,
    "rolled back": rolled_back,
}


# How often each of them comes to compose's `up`, and to the gate.
UPS = {
    "deploy": 1,
    "unhealthy": 2,
    "refused": 6,
    "not created": 2,
    "removed": 1,
    "rolled back": 1,
}
GATES = {**UPS, "refused": 2, "not created": 0}


@dataclass(frozen=True)
class Point:
    """A moment of a story."""

    story: str
    event: str
    number: int = 1
    delay: float = 0.0
    victims: str = "launcher"

    def __str__(self) -> str:
        when = "after" if self.event.endswith(")") else "before"
        what = self.event.rstrip("()")
        again = f" ({self.number})" if self.number > 1 else ""
        if self.delay:
            return f"{self.delay:g} s into {what}{again}: {self.victims}"
        return f"{when} {what}{again}: {self.victims}"

    @property
    def sort(self) -> str:
        """Without the moment."""
        if not self.delay:
            told = {"stop": "SIGTERM", "reload": "SIGHUP"}.get(self.victims, self.victims)
            return f"between two steps: {told}"
        return f"in the middle of {self.event.rstrip('(')}: {self.victims}"


def trace(play: Play, story: str) -> list[Point]:
    """The moments between the events of a story, in order, from playing it undisturbed."""
    path = play.site.launcher.directory / "trace"
    play.site.arm(Plan(secrets.token_hex(4), trace=str(path)))
    STORIES[story](play).follow(play)
    play.site.launcher.plan.unlink()
    events, seen, points = path.read_text().split("\n")[:-1], Counter[str](), []
    path.unlink()
    for before, event in itertools.pairwise(["", *events]):
        seen[event] += 1
        # Nothing happens between a step's end and the next one's beginning.
        if not (before.endswith(")") and event.endswith("(")):
            points.append(Point(story, event, seen[event]))
    return points


def by(victims: str, point: Point) -> Point:
    """The same moment, with other victims."""
    return replace(point, victims=victims)


def during(story: str) -> Iterator[Point]:
    """Moments inside the steps that take long: pull, gate, and `up` with its compose."""
    for number in range(1, UPS[story] + 1):
        for delay in _DURING_UP:
            yield Point(story, "Compose.up(", number, delay, "all")
        for delay in _DURING_UP[1::2]:
            yield Point(story, "Compose.up(", number, delay, "launcher")
            yield Point(story, "Compose.up(", number, delay, "compose")
        yield Point(story, "Compose.up(", number, 0.3, "worker")
    for number in range(1, GATES[story] + 1):
        yield Point(story, "Gate.wait(", number, 0.05, "launcher")
    yield Point(story, "Engine.pull(", 1, 0.02, "launcher")


def meet(play: Play, point: Point) -> Told | None:
    """Play the story until its point is met; None when it does not come.

    Changes that come together share a commit, and what ran before may spare a step: a story can
    have fewer moments than its trace.
    """
    for _ in range(_PLAYS):
        play.site.arm(
            Plan(secrets.token_hex(4), point.event, point.number, point.delay, point.victims)
        )
        told = STORIES[point.story](play)
        if play.site.met():
            return told
        play.site.launcher.plan.unlink()
        told.follow(play)
    return None


def kill(play: Play, point: Point) -> Result | None:
    """Play the story, kill at the point, start again, check; None when nobody was killed."""
    site, reloads = play.site, play.site.logged(_RELOADED)
    recovered: float | None = None
    try:
        told = meet(play, point)
        if told is None:
            return None
        site.await_death(point.victims)
        began = time.monotonic()
        if point.victims == "reload":
            site.await_log(_RELOADED, reloads + 1)
        if site.launcher.ended():
            site.launcher.start("/healthz")
        if told.answer is None:
            # Its sender got no answer, and tells again. What runs may be right before that is dealt
            # with, so it is followed to its end.
            told = replace(told, answer=site.tell_again(told.pushed, told.delivery))
        told.follow(play)
        recovered = time.monotonic() - began
        site.check(told.expected)
        site.check_repeats(told.pushed, told.delivery)
    except (BrokenPromiseError, TimeoutError, RuntimeError) as error:
        return Result(f"crash: {point.story}", str(point), recovered, str(error), point.sort)
    return Result(f"crash: {point.story}", str(point), recovered, sort=point.sort)


def run(registry: TestRegistry, directory: Path, points: Sequence[Point]) -> Iterator[Result]:
    """Each point once, on one site; after a broken promise on a fresh one."""
    play: Play | None = None
    try:
        for number, point in enumerate(points):
            if play is None:
                play = Play(registry, directory / f"site-{number}")
            result = kill(play, point)
            if result is None:
                print(f"not met in {_PLAYS} plays, not counted: {point.story}: {point}", flush=True)
                continue
            yield result
            if result.broken:
                play.site.stop()
                play = None
    finally:
        if play is not None:
            play.site.stop()
