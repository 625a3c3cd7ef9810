"""Keep-tags: an image that is known by digest only is dangling, and pruning would take it."""

import hashlib
import re

from webhook_launcher.adapters.engine.connection import Client, NotFound
from webhook_launcher.core.errors import PullError
from webhook_launcher.core.model import Image

REPOSITORY = "webhook-launcher/keep"
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]")
_MAX_TAG = 128
PULLED = "pulled-"
_MAX_SLOT = 16  # hexadecimal digits of a digest, or a word


def keep_tag(project: str, workload: str, slot: str) -> str:
    """`<project>.<workload>.<slot>`: a project's name has no dot, so no two share a tag.

    Names that do not fit a tag are cut, and a hash of them tells them apart.
    """
    text = f"{project}.{workload}"
    tag = _NOT_IN_TAGS.sub("_", text).lstrip(".-")
    if tag != text or len(tag) > _MAX_TAG - len(PULLED) - _MAX_SLOT:
        mark = f".{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        tag = (tag[: _MAX_TAG - len(PULLED) - _MAX_SLOT - len(mark)] + mark).lstrip(".")
    return f"{tag}.{slot}"


def pulled_slot(digest: str) -> str:
    """The slot that says: this launcher pulled the image for this workload, so it may remove it."""
    return f"{PULLED}{digest.rpartition(':')[2][:_MAX_SLOT]}"


def keep_image(client: Client, image: Image, tag: str) -> None:
    """Move the tag to the image; PullError when the image is not there."""
    try:
        client.tag(image.pinned, REPOSITORY, tag)
    except NotFound as error:
        raise PullError(f"{image.pinned} is not on the engine any more") from error
