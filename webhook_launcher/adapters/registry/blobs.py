"""A blob's bytes, hashed; the only answer of a registry that may send us somewhere else.

Registries keep blobs in object stores and answer with a redirect to a signed URL there. It is
followed without `Authorization`, always: what the URL needs is in it. Where it may lead:

1. `https`, or `http` when the registry itself is spoken to in plain HTTP;
2. not to loopback, link-local or other addresses that mean something only on this host (a cloud's
   metadata service is one), unless the registry is on loopback itself;
3. at most three times.

The bytes must have the digest that was asked for, so the other host can only fail us. A name that
resolves to a forbidden address is not noticed: a registry can make us send a GET there, whose
answer it does not see.
"""

import ipaddress
import re
from http import HTTPStatus
from urllib.parse import urljoin

from webhook_launcher.adapters.registry.access import CLIENT
from webhook_launcher.adapters.registry.document import Descriptor
from webhook_launcher.adapters.registry.exchange import Exchange
from webhook_launcher.adapters.registry.manifest import proven_digest
from webhook_launcher.adapters.registry.settings import (
    RegistrySettings,
    hostname,
    is_address,
    is_loopback,
)
from webhook_launcher.adapters.registry.transport import Answer, Deadline, Transport
from webhook_launcher.core.errors import (
    DigestMismatchError,
    RegistryError,
    RegistryUnavailableError,
    UnsupportedManifestError,
)
from webhook_launcher.core.reference import Repository

_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_MOST_REDIRECTS = 3
# One pattern for the whole URL, so that no second parser can see another host in it. Signed URLs
# of object stores are long.
_PLACE = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.:\[\]-]{1,260})"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@/%-]{0,4096})?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{0,8192})?"
)


class Blobs:
    """Reads blobs through an exchange, and through the transport where it is sent elsewhere."""

    def __init__(self, exchange: Exchange, transport: Transport) -> None:
        self._exchange = exchange
        self._transport = transport

    def get(
        self, repository: Repository, wanted: Descriptor, limit: int, deadline: Deadline
    ) -> bytes:
        """The bytes of a descriptor, of its size and digest.

        Raises UnsupportedManifestError when it says more than `limit` bytes, before anything is
        asked; DigestMismatchError for other bytes; and the RegistryErrors.
        """
        what = f"{repository}@{wanted.digest}"
        if wanted.size > limit:
            raise UnsupportedManifestError(
                f"{what} has {wanted.size} bytes; at most {limit} are read here",
                advice="Look at what was pushed there.",
            )
        answer = self._exchange.ask(
            "GET",
            repository,
            f"blobs/{wanted.digest}",
            what=what,
            deadline=deadline,
            limit=limit,
            also=_REDIRECTS,
        )
        if answer.status != HTTPStatus.OK:
            settings = self._exchange.settings(repository.registry)
            answer = self._follow(answer, settings, repository, wanted, deadline, limit)
        if len(answer.body) != wanted.size:
            raise DigestMismatchError(
                f"the registry's bytes for {what} are {len(answer.body)}, not {wanted.size}"
            )
        claimed = answer.headers.get("Docker-Content-Digest")
        proven_digest(answer.body, wanted.digest, claimed, what)
        return answer.body

    def _follow(
        self,
        answer: Answer,
        settings: RegistrySettings,
        repository: Repository,
        wanted: Descriptor,
        deadline: Deadline,
        limit: int,
    ) -> Answer:
        what = f"{repository}@{wanted.digest}"
        place = f"{settings.base}/v2/{repository.path}/blobs/{wanted.digest}"
        for _ in range(_MOST_REDIRECTS):
            place = checked_place(place, answer.headers.get("Location", ""), settings)
            headers = {"Accept": "*/*", "User-Agent": CLIENT}
            answer = self._transport.send("GET", place, headers, deadline=deadline, limit=limit)
            if answer.status == HTTPStatus.OK:
                return answer
            if answer.status not in _REDIRECTS:
                raise RegistryUnavailableError(
                    f"registry {settings.host} sends us to {_host(place)} for {what}, "
                    f"which answers {answer.status}"
                )
        raise RegistryError(
            f"registry {settings.host} sends us from place to place for {what}",
            advice="Look at the storage and proxies behind it: blobs are redirected in a circle.",
        )


def checked_place(current: str, location: str, settings: RegistrySettings) -> str:
    """Where a redirect leads, by the rules above; `location` may be relative to `current`.

    Raises RegistryError. The URL is in no error: it may be signed, and then it is a secret.
    """
    try:
        place = urljoin(current, location)
    except ValueError:
        place = ""
    parts = _PLACE.fullmatch(place) if location else None
    if parts is None:
        raise _refused(settings, "to no usable address")
    if parts["scheme"] == "http" and not settings.plain:
        raise _refused(settings, f"to {parts['host']} in plain HTTP")
    name = hostname(parts["host"].lower())
    own = hostname(settings.address)
    if name != own and not is_loopback(own) and _is_local(name):
        raise _refused(settings, f"to {parts['host']}, an address of this host")
    return place


def _is_local(name: str) -> bool:
    """Loopback, link-local, unspecified and the like; a private network's addresses are not."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if not is_address(name):
        return _is_number(name)
    address = ipaddress.ip_address(name)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(
        mapped.is_loopback
        or mapped.is_link_local
        or mapped.is_unspecified
        or mapped.is_multicast
        or mapped.is_reserved
    )


def _is_number(name: str) -> bool:
    """Resolvers read `2130706433`, `0x7f.1` and `127.1` as addresses; no name ends in a number."""
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rstrip(".").rpartition(".")[2]) is not None


def _refused(settings: RegistrySettings, where: str) -> RegistryError:
    return RegistryError(
        f"registry {settings.host} redirects a blob {where}",
        advice="It was not followed; look at the registry's storage and its redirects.",
    )


def _host(place: str) -> str:
    return place.partition("://")[2].partition("/")[0].partition("?")[0]
