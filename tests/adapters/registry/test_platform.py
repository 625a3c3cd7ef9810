"""Our choice from an index must be the engine's own: containerd's `platforms.Only`, as a table."""

import pytest

from webhook_launcher.adapters.registry.document import Descriptor
from webhook_launcher.adapters.registry.manifest import MANIFEST_TYPES, Index
from webhook_launcher.adapters.registry.platform import choose
from webhook_launcher.core.errors import UnsupportedManifestError
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Digest


def platform(text: str) -> Platform:
    """`os/architecture[/variant]`."""
    os, architecture, *variant = text.split("/")
    return Platform(os, architecture, variant[0] if variant else None)


def index(*platforms: str) -> Index:
    """An index with these platforms; the entry's size is its position."""
    digest = Digest("sha256:" + "0" * 64)
    entries = [
        Descriptor(MANIFEST_TYPES[0], digest, position, platform(text))
        for position, text in enumerate(platforms)
    ]
    return Index("application/vnd.oci.image.index.v1+json", tuple(entries))


@pytest.mark.parametrize(
    ("engine", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/x86_64", ["linux/arm64", "linux/amd64"], 1),
        ("Linux/AMD64", ["linux/amd64"], 0),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v1"], 0),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/amd64", ["linux/386"], 0),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/aarch64", ["linux/arm64/v8"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm64/8", ["linux/arm64"], 0),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v8", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/armhf", ["linux/arm/v6", "linux/arm"], 1),
        ("linux/armel", ["linux/arm/v7", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
        ("linux/riscv64", ["linux/amd64", "linux/riscv64"], 1),
        ("windows/amd64", ["linux/amd64", "windows/amd64"], 1),
    ],
)
def test_choice_is_the_engines(engine: str, offered: list[str], chosen: int) -> None:
    """Another choice than the engine's makes the proof of the running container fail."""
    assert choose(index(*offered), platform(engine), "acme/web:1").size == chosen


@pytest.mark.parametrize(
    ("engine", "offered"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64/v2"]),
        ("linux/arm/v6", ["linux/arm/v7"]),
        ("linux/386", ["linux/amd64"]),
        ("linux/arm64", ["linux/amd64"]),
        ("linux/arm64", ["linux/arm64/v9"]),
        ("linux/amd64", ["windows/amd64"]),
        ("linux/amd64", ["unknown/unknown"]),
        ("linux/amd64", []),
    ],
)
def test_what_the_engine_cannot_run_is_not_chosen(engine: str, offered: list[str]) -> None:
    """An image of another platform starts and dies, or runs emulated and slow: better refused."""
    with pytest.raises(UnsupportedManifestError, match="acme/web:1") as caught:
        choose(index(*offered), platform(engine), "acme/web:1")
    assert engine in str(caught.value)
    assert "unknown" not in str(caught.value)
    known = [name for name in offered if not name.startswith("unknown")]
    assert str(caught.value).endswith(", ".join(sorted(known)) or "none")


def test_message_stays_short_and_clean() -> None:
    """An index can have thousands of entries with any text in them; the message is for a person."""
    offered = [f"linux/odd{number}" for number in range(500)] + ["linux/\x1b[2J", "<b>/x"]
    with pytest.raises(UnsupportedManifestError) as caught:
        choose(index(*offered), platform("linux/amd64"), "acme/web:1")
    assert "and 488 more" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\x1b" not in str(caught.value)
    assert "<b>" not in str(caught.value)
