"""Which entry of an index this engine runs: the same choice as containerd's `platforms.Only`.

The engine makes its own choice when it pulls; ours must be the same, or the proof of the running
container fails (and the old release stays). Source: containerd/platforms, compare.go, database.go.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from webhook_launcher.adapters.registry.document import Descriptor
from webhook_launcher.adapters.registry.manifest import Index
from webhook_launcher.core.errors import UnsupportedManifestError
from webhook_launcher.core.model import Platform

_ARCHITECTURES = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "i386": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
_OLDEST_ARM = 5
_SHOWN_PLATFORMS = 12
_NAME = re.compile(r"[A-Za-z0-9._/-]+")


def choose(index: Index, engine: Platform, what: str) -> Descriptor:
    """The first entry of the most wanted platform that the index has.

    `engine` is the engine's platform as it reports it (`x86_64` and `amd64` are one). Raises
    UnsupportedManifestError, naming the platforms there are, when none can run there.
    """
    by_platform: dict[Platform, Descriptor] = {}
    for entry in index.entries:
        if entry.platform is not None:
            by_platform.setdefault(normal(entry.platform), entry)
    for wanted in _wanted(normal(engine)):
        if wanted in by_platform:
            return by_platform[wanted]
    raise UnsupportedManifestError(
        f"{what} has no image for {engine}; it has: {_names(index) or 'none'}",
        advice=f"Build the image for {engine} too, or run it on an engine of those platforms.",
    )


def normal(platform: Platform) -> Platform:
    """One spelling per platform: lower case, Go's architecture names, default variants written."""
    architecture, variant = platform.architecture.lower(), (platform.variant or "").lower()
    if architecture in _ARCHITECTURES:
        architecture, forced = _ARCHITECTURES[architecture]
        variant = variant if forced is None else forced
    if variant.isdigit() and architecture.startswith("arm"):
        variant = f"v{variant}"
    variant = variant or _DEFAULT_VARIANT.get(architecture, "")
    return Platform(platform.os.lower(), architecture, variant or None)


def _wanted(engine: Platform) -> Iterator[Platform]:
    """What a normal platform can run, best first."""
    yield engine
    version = _version(engine)
    if engine.architecture == "amd64":
        yield from (replace(engine, variant=f"v{n}") for n in range(version - 1, 0, -1))
        yield Platform(engine.os, "386")
    elif engine.architecture == "arm":
        older = range(version - 1, _OLDEST_ARM - 1, -1)
        yield from (replace(engine, variant=f"v{n}") for n in older)
    elif engine.architecture == "arm64":
        # Minor versions (v8.2, v9.0) are not told apart: engines do not report them.
        yield replace(engine, variant="v8")
        yield from _wanted(Platform(engine.os, "arm", "v8"))


def _version(platform: Platform) -> int:
    """N of variant `vN`; 0 when it is something else."""
    digits = (platform.variant or "").removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) == 1 else 0


def _names(index: Index) -> str:
    """For people, as the index writes them; attestations (`unknown/unknown`) are no platform."""
    found = {str(entry.platform) for entry in index.entries}
    names = sorted(n for n in found if _NAME.fullmatch(n) and not n.startswith("unknown/"))
    more = f" and {len(names) - _SHOWN_PLATFORMS} more" if len(names) > _SHOWN_PLATFORMS else ""
    return ", ".join(names[:_SHOWN_PLATFORMS]) + more
