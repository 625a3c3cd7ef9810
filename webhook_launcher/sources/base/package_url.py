"""Package URLs of OCI images, as CDEvents name artifacts.

`pkg:oci/<name>@sha256%3A<hex>?repository_url=<host>/<path>&tag=<tag>`: the version is the digest,
`repository_url` the whole repository and optional. Other types are no images of a registry.
github.com/package-url/purl-spec, type oci.
"""

from urllib.parse import parse_qsl, unquote

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Source
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_of,
    located,
    repository_of,
    tag_of,
)

_MAX_QUALIFIERS = 16


def image_of(url: str, source: Source, field: str) -> Reference | None:
    """The image of an OCI package URL, None for other types. Raises MalformedEventError."""
    scheme, _, rest = url.partition(":")
    kind, _, rest = rest.lstrip("/").partition("/")
    if scheme.lower() != "pkg" or kind.lower() != "oci":
        return None
    rest, _, query = rest.partition("#")[0].partition("?")
    name, _, version = rest.partition("@")
    try:
        pairs = parse_qsl(query, errors="strict", max_num_fields=_MAX_QUALIFIERS)
    except ValueError as error:
        raise MalformedEventError(f"{field} is not a package URL") from error
    qualifiers = dict(pairs)
    if len(qualifiers) != len(pairs):
        raise MalformedEventError(f"{field} has a qualifier twice")
    where = qualifiers.get("repository_url")
    if where:
        repository = located(where, source, field).repository
        named, last = unquote(name).lower(), repository.path.rpartition("/")[2]
        agree(named, f"the name of {field}", last, "its repository_url")
    else:
        repository = repository_of(host_of(source, None, field), unquote(name), field)
    tag = qualifiers.get("tag")
    return Reference(
        repository,
        tag_of(tag, field) if tag else None,
        digest_of(unquote(version) or None, field),
    )
