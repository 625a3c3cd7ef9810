"""Keep-tags: an image that is known by digest only is dangling, and pruning would take it."""

import hashlib
import re

from webhook_launcher.adapters.engine.connection import Client, NotFound
from webhook_launcher.core.errors import PullError
from webhook_launcher.core.model import Image

REPOSITORY = "webhook-launcher/keep"
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]")
_MAX_TAG = 128


def keep_tag(project: str, workload: str, slot: str) -> str:
    """`<project>.<workload>.<slot>`: a project's name has no dot, so no two share a tag.

    Names that do not fit a tag are cut, and a hash of them tells them apart.
    """
    text = f"{project}.{workload}.{slot}"
    tag = _NOT_IN_TAGS.sub("_", text).lstrip(".-")
    if tag == text and len(tag) <= _MAX_TAG:
        return tag
    mark = f".{hashlib.sha256(text.encode()).hexdigest()[:12]}.{slot}"
    return tag[: _MAX_TAG - len(mark)] + mark


def keep_image(client: Client, image: Image, tag: str) -> None:
    """Move the tag to the image; PullError when the image is not there."""
    try:
        client.tag(image.pinned, REPOSITORY, tag)
    except NotFound as error:
        raise PullError(f"{image.pinned} is not on the engine any more") from error


def forget_image(client: Client, tag: str) -> None:
    """Remove the tag; the image goes with it unless something else names or uses it."""
    try:
        client.remove_image(f"{REPOSITORY}:{tag}", noprune=False)
    except NotFound:
        return
