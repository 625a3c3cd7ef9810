"""What engines list as the tags of an image, where they differ."""

from typing import Any

import pytest

from webhook_launcher.adapters.engine.adoption import adopt_image
from webhook_launcher.adapters.engine.keep import REPOSITORY, keep_tag, pulled_slot
from webhook_launcher.adapters.engine.removal import remove_former
from webhook_launcher.core.container import Container
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


@pytest.mark.parametrize(
    ("named", "tag"),
    [
        ("registry.example.com/web:stable", "stable"),
        ("registry.example.com/web", "latest"),
        (_PINNED, None),
    ],
)
def test_an_image_without_a_tag_in_the_compose_file_is_adopted_as_latest(
    named: str, tag: str | None
) -> None:
    """Only the launcher names an image by its digest alone; a person did not start that."""
    repository = parse_repository("registry.example.com/web")
    container = Container(
        id="1",
        name="web-1",
        service="web",
        number=1,
        image=str(_DIGEST),
        image_ref=named,
        status="running",
        running=True,
        exit_code=0,
        oom_killed=False,
        restart_count=0,
    )
    listing: Any = Listing([])
    found = adopt_image(listing, [container], repository)
    assert found is not None
    assert found.reference.tag == tag
