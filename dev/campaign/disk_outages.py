"""The disk of the state directory fails, in every way we know; nobody helps the launcher.

A push is announced and acknowledged just before: it must come to run afterwards. What is sent while
nothing can be written must be refused at once, with `Retry-After`, and accepted when it is sent
again. Here no poll makes good what was lost.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import SubprocessError

from campaign.disk import JOURNAL, Disk
from campaign.outages import ANSWER, PATIENCE, Scene
from campaign.results import Result
from campaign.site import BrokenPromiseError
from testbed.images import TestRegistry
from testbed.launcher import Answer, ask
from webhook_launcher.core.model import Image

# An attempt must not be over before the disk fails.
_PADDING = 4_000_000
# Less than a healthcheck's patience; the launcher tells of a disk that hangs after 2 s.
_READY = 3.0
# On a disk that takes nothing for 0.4 s at a time, an answer waits at least once, and seldom twice.
_FELT, _SLOW_ANSWER = 0.2, 2.0
# Between what is sent to it: another time than between its jerks.
_OUT_OF_STEP = 0.33

FULL = "full"
GIVEN_UP = "read-only after an error, then mounted anew"
HANGS = "hangs"
SLOW = "slow"
DAMAGED = "journal damaged while the launcher is down"
FAULTS = (FULL, GIVEN_UP, HANGS, SLOW, DAMAGED)


def disk_faults(
    registry: TestRegistry, directory: Path, seconds: float, faults: Sequence[str] = FAULTS
) -> Iterator[Result]:
    """Each fault for so many seconds, each on a site of its own."""
    for number, fault in enumerate(faults):
        base = directory / f"disk-{number}"
        with Disk(base / "launcher" / "state") as disk:
            scene = Scene(registry, base, options={})
            try:
                yield _Play(scene, disk, seconds).result(fault)
            finally:
                scene.site.launcher.kill()
        scene.site.stop()


class _Play:
    """One scene, whose launcher's state is on the disk."""

    def __init__(self, scene: Scene, disk: Disk, seconds: float) -> None:
        self.scene = scene
        self.disk = disk
        self.seconds = seconds
        self._ways: dict[str, Callable[[], float]] = {
            FULL: self._full,
            GIVEN_UP: self._given_up,
            HANGS: self._hanging,
            SLOW: self._slow,
            DAMAGED: self._damaged,
        }

    def result(self, fault: str) -> Result:
        """Play it."""
        named = fault if fault == DAMAGED else f"{fault}, {self.seconds:g} s"
        name = f"disk: {named}"
        try:
            return Result("outage", name, self._ways[fault]())
        except (BrokenPromiseError, OSError, RuntimeError, SubprocessError) as error:
            return Result("outage", name, None, str(error))

    def _full(self) -> float:
        """It fills again and again, whatever is given free."""
        pushed, again = self._acknowledged(), secrets.token_hex(8)
        self.disk.fill()
        try:
            self._use_up(pushed)
            self._refusing(pushed, again, self.disk.fill)
        finally:
            self.disk.free()
        recovered = self._recovered(pushed)
        self._sent_again(again)
        return recovered

    def _given_up(self) -> float:
        """Until it is mounted anew, for which nobody may use it."""
        launcher = self.scene.site.launcher
        pushed, again = self._acknowledged(), secrets.token_hex(8)
        self.disk.give_up()
        self._refusing(pushed, again)
        launcher.kill()
        self.disk.mount_anew()
        launcher.start("/healthz")
        recovered = self._recovered(pushed)
        self._sent_again(again)
        return recovered

    def _refusing(
        self, image: Image, delivery: str, again: Callable[[], None] = lambda: None
    ) -> None:
        """Every delivery refused at once, `/readyz` says why, deployments wait."""
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            again()
            self._refused(self._announce(image, delivery))
            self._not_ready("cannot be written")
            time.sleep(0.5)
        self._stopped(image)

    def _use_up(self, image: Image) -> None:
        """Until nothing can be written for sure: what finds room is acknowledged, and rightly.

        The WAL may have room inside it, and the launcher folds it to make some.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.disk.fill()
            answer = self._announce(image, secrets.token_hex(8))
            if answer is None or answer.status != 202:
                self._refused(answer)
                if self.scene.ready()[0] != 200:
                    return
            if time.monotonic() > deadline:
                raise BrokenPromiseError("the disk is never full")

    def _sent_again(self, delivery: str) -> None:
        """Nothing was kept of what was refused: under the same id it is news."""
        newer = self.scene.push()
        self._accepted(self._announce(newer, delivery), ANSWER)
        self._recovered(newer)

    def _hanging(self) -> float:
        """What is sent is not answered before its commit; `/readyz` does not wait for that."""
        pushed, again = self._acknowledged(), secrets.token_hex(8)
        with ThreadPoolExecutor(1) as sender:
            self.disk.freeze()
            try:
                sent: Future[Answer | None] = sender.submit(self._announce, pushed, again)
                until = time.monotonic() + self.seconds
                while time.monotonic() < until:
                    self._not_ready("no commit has come back")
                    if sent.done() and sent.result() is not None:
                        raise BrokenPromiseError(f"answered before its commit: {sent.result()}")
                    time.sleep(0.5)
                self._stopped(pushed)
            finally:
                self.disk.thaw()
            answer = sent.result()
        if answer is None:  # its sender's patience was over: it sends it again
            answer = self._announce(pushed, again)
        if answer is None or answer.status not in (200, 202):
            raise BrokenPromiseError(f"once the disk went on it was answered {answer}")
        return self._recovered(pushed)

    def _slow(self) -> float:
        """All goes on, as slowly as the disk."""
        slowest = 0.0
        with self.disk.slow():
            pushed = self.scene.push()
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                took = self._accepted(self._announce(pushed, secrets.token_hex(8)), _SLOW_ANSWER)
                slowest = max(slowest, took)
                status, said = self.scene.ready()
                if status != 200:
                    raise BrokenPromiseError(f"/readyz: {said}")
                time.sleep(_OUT_OF_STEP)
        if slowest < _FELT:
            raise BrokenPromiseError("the fault slowed nothing: this run shows nothing")
        return self._recovered(pushed)

    def _damaged(self) -> float:
        """It is moved aside; what runs is learned from the engine, what is wanted by a look."""
        launcher, before = self.scene.site.launcher, self.scene.site.container_ids()
        launcher.kill()
        self.disk.damage()
        began = time.monotonic()
        launcher.start("/readyz")
        status, said = self.scene.ready()
        if status != 200 or "moved aside" not in said:
            raise BrokenPromiseError(f"/readyz: {status} {said}")
        if not list(self.disk.where.glob(f"{JOURNAL}.corrupt-*")):
            raise BrokenPromiseError("the damaged journal was not kept")
        self.scene.site.await_release(self.scene.runs, PATIENCE)
        recovered = time.monotonic() - began
        if self.scene.site.container_ids() != before:
            raise BrokenPromiseError("what ran was started anew")
        pushed = self.scene.push()
        self.scene.announce(pushed)
        self._recovered(pushed)
        return recovered

    def _acknowledged(self) -> Image:
        pushed = self.scene.push(_PADDING)
        self.scene.announce(pushed)
        return pushed

    def _announce(self, image: Image, delivery: str) -> Answer | None:
        return self.scene.site.announce(image, delivery)

    def _refused(self, answer: Answer | None) -> None:
        if answer is None or answer.status != 503 or "Retry-After" not in answer.headers:
            raise BrokenPromiseError(f"a delivery was answered {answer}")
        self._in_time(answer, ANSWER)

    def _accepted(self, answer: Answer | None, within: float) -> float:
        if answer is None or answer.status != 202:
            raise BrokenPromiseError(f"a delivery was answered {answer}")
        return self._in_time(answer, within)

    def _in_time(self, answer: Answer, within: float) -> float:
        if answer.seconds > within:
            raise BrokenPromiseError(f"a delivery was answered after {answer.seconds:.1f} s")
        return answer.seconds

    def _not_ready(self, reason: str) -> None:
        answer = ask("GET", f"{self.scene.site.launcher.url}/readyz")
        said = str(answer.body.get("reasons", {}).get("journal"))
        if answer.status != 503 or reason not in said or answer.seconds > _READY:
            raise BrokenPromiseError(f"/readyz after {answer.seconds:.1f} s: {answer}")
        if (alive := ask("GET", f"{self.scene.site.launcher.url}/healthz")).status != 200:
            raise BrokenPromiseError(f"/healthz: {alive}")

    def _stopped(self, pushed: Image) -> None:
        """What ran before goes on meanwhile."""
        if self.scene.serves(pushed):
            raise BrokenPromiseError("the fault stopped nothing: this run shows nothing")
        if not self.scene.serves(self.scene.runs):
            raise BrokenPromiseError("what ran does not serve")

    def _recovered(self, image: Image) -> float:
        began = time.monotonic()
        self.scene.site.await_release(image, PATIENCE)
        recovered = time.monotonic() - began
        self.scene.runs = image
        self.scene.site.check(image)
        return recovered
