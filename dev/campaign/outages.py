"""Registry and engine fail for a while and come back; nobody helps the launcher.

While the fault lasts, a push is announced: it must be acknowledged, what ran must go on (unless
the engine itself is what failed), and `/readyz` must say what is wrong. Afterwards the pushed
image must come to run.
"""

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from campaign import faulty
from campaign.daemon import Daemon
from campaign.faulty import FaultyRegistry
from campaign.results import Result
from campaign.site import BrokenPromiseError, Site
from campaign.traps import Plan
from testbed.images import Recipe, TestRegistry
from testbed.launcher import ask, fetch
from webhook_launcher.core.model import Image

# What the sender is told of its intent meanwhile, if it asks.
_TOLD = {
    faulty.DENIED: "registry-denied",
    faulty.LIMITED: "rate-limited",
    faulty.LIMITED_AFTER: "rate-limited",
    faulty.WRONG_BYTES: "digest-mismatch",
}
# Nothing yet, in an outage that is shorter than the patience with a registry.
_SLOW = (faulty.BLACK_HOLE, faulty.SLOW_DRIP)
# How long somebody else has the port, and what is logged then.
_PORT_TAKEN = {
    "the new release is refused": "release failed",
    "nothing can be started": "rollback failed",
}
_OPTIONS = {"poll": {"every": "2s"}}
ANSWER = 1.0
# Longer than the longest pause that an outage of half a minute leads to, and a loaded machine.
PATIENCE = 240.0


class Scene:
    """A site on which a good release runs."""

    def __init__(self, registry: TestRegistry, directory: Path, **more: object) -> None:
        self.site = Site(registry, directory, **{"options": _OPTIONS, **more})  # type: ignore[arg-type]
        self.runs = self.push()
        self.site.start()
        self.site.await_release(self.runs)

    def push(self, padding: int = 0) -> Image:
        """A publisher pushes a good image that nobody has seen."""
        marker = f"{self.site.repository} {secrets.token_hex(4)}"
        return self.site.push(Recipe(marker, interval=0.5, padding=padding))

    def announce(self, image: Image) -> str:
        """The registry tells: acknowledged, and at once; our id of the delivery."""
        answer = self.site.announce(image)
        if answer is None or answer.status != 202:
            raise BrokenPromiseError(f"the delivery was answered {answer}")
        if answer.seconds > ANSWER:
            raise BrokenPromiseError(f"the delivery was answered after {answer.seconds:.1f} s")
        return str(answer.body["delivery"])

    def told(self, delivery: str) -> str | None:
        """The code of the delivery's intent, as its sender may ask for it."""
        found = ask("GET", f"{self.site.launcher.url}/api/v1/deliveries/{delivery}").body
        [intent] = found["intents"]
        code: str | None = intent["code"]
        return code

    def ready(self) -> tuple[int, str]:
        """What `/readyz` says."""
        answer = ask("GET", f"{self.site.launcher.url}/readyz")
        return answer.status, str(answer.body)

    def serves(self, image: Image) -> bool:
        """Whether it is what answers."""
        marker = self.site.markers[image.digest]
        return fetch(f"http://127.0.0.1:{self.site.port}/") == marker


def registry_faults(
    registry: TestRegistry, directory: Path, seconds: float, faults: tuple[str, ...] = faulty.FAULTS
) -> Iterator[Result]:
    """Each fault of the registry for so many seconds, on one site."""
    door = FaultyRegistry(registry.host)
    scene = Scene(registry, directory / "registry", through=door.host)
    try:
        for fault in faults:
            yield _outage(
                scene,
                f"registry: {fault}, {seconds:g} s",
                lambda fault=fault: door.begin(fault),  # type: ignore[misc]
                door.end,
                seconds,
                _untouched,
                _TOLD.get(fault, "registry-unavailable"),
                slow=fault in _SLOW,
            )
    finally:
        door.end()
        scene.site.stop()
        door.close()


def engine_faults(registry: TestRegistry, directory: Path, seconds: float) -> Iterator[Result]:
    """The engine away, in every way, at rest and in the middle of each step that needs it."""
    daemon = Daemon()
    try:
        scene = Scene(registry, directory / "engine", environment=daemon.environment)
        try:
            yield from _at_rest(scene, daemon, seconds)
            yield from _in_the_middle(scene, daemon, seconds)
            for when, logged in _PORT_TAKEN.items():
                yield _port_taken(scene, when, logged)
        finally:
            scene.site.stop()
    finally:
        daemon.close()


def full_store(registry: TestRegistry, directory: Path, seconds: float) -> Iterator[Result]:
    """The disk of the engine's images is full until somebody makes room."""
    daemon = Daemon(size="160m")
    filler = daemon.data / "filler"

    def fill() -> None:
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()

    try:
        scene = Scene(registry, directory / "full", environment=daemon.environment)
        try:
            yield _outage(
                scene,
                f"engine: image store full, {seconds:g} s",
                fill,
                filler.unlink,
                seconds,
                _untouched,
                "pull-failed",
                padding=4_000_000,
            )
        finally:
            scene.site.stop()
    finally:
        daemon.close()


def _at_rest(scene: Scene, daemon: Daemon, seconds: float) -> Iterator[Result]:
    for name, begin in (("killed", daemon.kill), ("stopped", daemon.stop)):
        fault = f"engine: {name}, {seconds:g} s"
        yield _outage(scene, fault, begin, daemon.start, seconds, _not_ready, "engine-unavailable")
    yield _outage(
        scene,
        f"engine: socket gone, {seconds:g} s",
        daemon.hide,
        daemon.show,
        seconds,
        _unreachable,
        "engine-unavailable",
    )


def _in_the_middle(scene: Scene, daemon: Daemon, seconds: float) -> Iterator[Result]:
    moments = (
        ("a pull", "Engine.pull(", 0.05),
        ("an up", "Compose.up(", 0.15),
        ("an up", "Compose.up(", 0.35),
        ("the gate", "Gate.wait(", 0.02),
    )
    for name, event, delay in moments:
        for way, begin in (("killed", daemon.kill), ("stopped", daemon.stop)):
            fault = f"engine: {way} {delay:g} s into {name}, {seconds:g} s"
            yield _interruption(scene, daemon, fault, Plan("", event, delay=delay), begin, seconds)


def _outage(
    scene: Scene,
    fault: str,
    begin: Callable[[], None],
    end: Callable[[], None],
    seconds: float,
    meanwhile: Callable[[Scene], None],
    code: str,
    *,
    slow: bool = False,
    padding: int = 0,
) -> Result:
    """Begin, push and announce, look meanwhile, end, and wait for the pushed image.

    `code` is what its sender is told; with `slow` perhaps nothing yet.
    """
    recovered: float | None = None
    try:
        begin()
        try:
            image = scene.push(padding)
            delivery = scene.announce(image)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                meanwhile(scene)
                time.sleep(0.5)
            if scene.serves(image):
                raise BrokenPromiseError("the fault stopped nothing: this run shows nothing")
            if (said := scene.told(delivery)) != code and not (slow and said is None):
                raise BrokenPromiseError(f"its sender is told {said}, not {code}")
        finally:
            end()
        began = time.monotonic()
        scene.site.await_release(image, PATIENCE)
        recovered = time.monotonic() - began
        scene.runs = image
        scene.site.check(image)
    except (BrokenPromiseError, OSError) as error:
        return Result("outage", fault, recovered, str(error))
    return Result("outage", fault, recovered)


def _interruption(
    scene: Scene,
    daemon: Daemon,
    fault: str,
    plan: Plan,
    begin: Callable[[], None],
    seconds: float,
) -> Result:
    """The engine goes in the middle of a deployment."""
    recovered: float | None = None
    nobody = Plan(secrets.token_hex(4), plan.event, victims="nobody", delay=plan.delay)
    try:
        scene.site.arm(nobody)
        image = scene.push(padding=2_000_000)
        scene.announce(image)
        scene.site.await_death("nobody")
        time.sleep(plan.delay)
        begin()
        try:
            time.sleep(seconds)
            _not_ready(scene)
        finally:
            daemon.start()
        began = time.monotonic()
        scene.site.await_release(image, PATIENCE)
        recovered = time.monotonic() - began
        scene.runs = image
        scene.site.check(image)
    except (BrokenPromiseError, OSError) as error:
        return Result("outage", fault, recovered, str(error))
    return Result("outage", fault, recovered)


def _port_taken(scene: Scene, when: str, logged: str) -> Result:
    """Somebody else takes the port while the containers are exchanged, until that is logged.

    The release before comes back, or not even that; the new one must run in the end, unblamed.
    """
    recovered: float | None = None
    fault = f"host: port taken by somebody else, until {when}"
    before = scene.site.logged(logged)
    try:
        scene.site.arm(Plan(secrets.token_hex(4), "Compose.up(", victims="nobody"))
        image = scene.push()
        scene.announce(image)
        scene.site.await_death("nobody")
        with _take(scene.site.port):
            scene.site.await_log(logged, before + 1)
        began = time.monotonic()
        scene.site.await_release(image, PATIENCE)
        recovered = time.monotonic() - began
        scene.runs = image
        scene.site.check(image)
    except (BrokenPromiseError, OSError) as error:
        return Result("outage", fault, recovered, str(error))
    return Result("outage", fault, recovered)


def _take(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        taker = socket.socket()
        # A port whose last connections have just ended is free, too.
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taker.bind(("127.0.0.1", port))
            taker.listen()
        except OSError:
            taker.close()
            if time.monotonic() > deadline:
                raise BrokenPromiseError("the port was never free to be taken") from None
        else:
            return taker


def _untouched(scene: Scene) -> None:
    """What ran goes on, and the launcher is ready: it is not its fault."""
    if not scene.serves(scene.runs):
        raise BrokenPromiseError("what ran does not serve")
    status, said = scene.ready()
    if status != 200:
        raise BrokenPromiseError(f"/readyz: {said}")


def _not_ready(scene: Scene) -> None:
    """`/readyz` names the engine."""
    status, said = scene.ready()
    if status != 503 or "engine" not in said:
        raise BrokenPromiseError(f"/readyz: {status} {said}")


def _unreachable(scene: Scene) -> None:
    """The same, and what runs goes on: the engine itself is well."""
    if not scene.serves(scene.runs):
        raise BrokenPromiseError("what ran does not serve")
    _not_ready(scene)
