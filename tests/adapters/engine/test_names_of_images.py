"""What engines list as the tags of an image, where they differ."""

from typing import Any

import pytest

from webhook_launcher.adapters.engine.keep import REPOSITORY, keep_tag, pulled_slot
from webhook_launcher.adapters.engine.removal import remove_former
from webhook_launcher.core.reference import Digest, parse_repository

_DIGEST = Digest("sha256:6296559ef4097bf592df68e7df7660ec117a55b3204286be254d65c3bed001f5")
_PINNED = f"registry.example.com/web@{_DIGEST}"
_MARK = f"{REPOSITORY}:{keep_tag('shop', 'web', pulled_slot(_DIGEST))}"


class Listing:
    """An engine that has one image, with the names that a release of the engine gives it."""

    def __init__(self, tags: list[str]) -> None:
        self.image = {
            "Id": str(_DIGEST),
            "RepoTags": tags,
            "RepoDigests": [_PINNED, f"{REPOSITORY}@{_DIGEST}"],
        }
        self.removed: list[str] = []

    def images(self, name: str) -> list[dict[str, Any]]:
        """Only the names asked for, as engines do."""
        tags = [tag for tag in self.image["RepoTags"] if tag.startswith(f"{name}:")]
        return [{**self.image, "RepoTags": tags}]

    def list_containers(self, _: list[str]) -> list[dict[str, Any]]:
        """None."""
        return []

    def find_image(self, _: str) -> dict[str, Any]:
        """The one."""
        return self.image

    def remove_image(self, name: str, *, noprune: bool) -> None:
        """One name of it."""
        assert not noprune
        self.removed.append(name)


def _remove(engine: Any) -> list[str]:
    return remove_former(engine, "shop", "web", parse_repository("registry.example.com/web"), ())


@pytest.mark.parametrize(
    "tags", [[_MARK], [_PINNED, _MARK]], ids=["engines-up-to-26", "engine-28-containerd-store"]
)
def test_a_name_by_digest_among_the_tags_is_nobodys_tag(tags: list[str]) -> None:
    """28.5.2 lists it there: taken for somebody's tag, former releases would pile up for ever."""
    engine = Listing(tags)
    assert _remove(engine) == [_PINNED]
    assert engine.removed == [_PINNED, _MARK]


def test_a_tag_beside_it_is_somebodys() -> None:
    """The care for what others use must not get lost with that."""
    engine = Listing([_PINNED, _MARK, "somebody/else:x"])
    assert _remove(engine) == []
    assert engine.removed == []
