"""May this registry's credentials go to the token server that its challenge names?

The challenge is text from the network. A realm is accepted only if it is

1. `https`, or `http` when the registry itself is spoken to in plain HTTP; and
2. on the registry's own host, whatever the port (any two loopback names are one host); or
3. on the registry's parent domain or below it (`registry-1.docker.io` -> `auth.docker.io`,
   `registry.gitlab.com` -> `gitlab.com`), where the parent has at least two labels and does not
   look like a public suffix (`co.uk`, `com.au`): never for IP addresses; or
4. on the host that the operator named in `token_realm_host`.

Rule 3 knows no list of public suffixes: below a shared domain that does not look like one, another
tenant's host passes. Whoever can put that name into the challenge controls the registry's answers,
and could as well ask for the credentials with a Basic challenge.
"""

import re

from webhook_launcher.adapters.registry.settings import (
    RegistrySettings,
    hostname,
    is_address,
    is_loopback,
)
from webhook_launcher.core.errors import InvalidReferenceError, RegistryDeniedError
from webhook_launcher.core.reference import parse_registry

# One pattern for the whole address, so that no second parser can see another host in it:
# no user info, no backslash, no fragment, no control characters.
_REALM = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.:\[\]-]{1,260})"
    r"(?P<rest>(?:/[A-Za-z0-9._~!$&'()*+,;=:@/%-]{0,1024})?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{0,1024})?)",
)
# Second levels under which countries register names for anybody.
_PUBLIC_SUFFIX = re.compile(
    r"(?:ac|co|com|edu|go|gob|gouv|gov|gv|ltd|me|mil|ne|net|nom|or|org|plc|sch)\.[a-z]{2}"
)
_LABELS_OF_A_PARENT = 2


def checked_realm(realm: str, settings: RegistrySettings) -> str:
    """The token server's address, rebuilt from its checked parts.

    Raises RegistryDeniedError, before anything is sent, when it may not have the credentials.
    """
    parts = _REALM.fullmatch(realm)
    if parts is None or not _is_host(parts["host"]):
        raise RegistryDeniedError(
            f"registry {settings.host} names no usable token server in its challenge",
            advice="Check the registry's own `auth` configuration (its `realm`).",
        )
    host = parts["host"].lower()
    if parts["scheme"] == "http" and not settings.plain:
        raise RegistryDeniedError(
            f"registry {settings.host} sends us to {host} for a token in plain HTTP",
            advice="Give the token server TLS; no credentials were sent.",
        )
    if not _belongs(hostname(host), settings):
        raise RegistryDeniedError(
            f"registry {settings.host} sends us to {host} for a token, which is not a part of it",
            advice="No credentials were sent. If that is its token server, add "
            f"`token_realm_host: {hostname(host)}` to {settings.host} under `registries:`.",
        )
    return f"{parts['scheme']}://{host}{parts['rest']}"


def _is_host(text: str) -> bool:
    try:
        parse_registry(text)
    except InvalidReferenceError:
        return False
    return True


def _belongs(realm: str, settings: RegistrySettings) -> bool:
    own = hostname(settings.address)
    if realm in (own, (settings.token_realm_host or own).lower()):
        return True
    if is_loopback(realm) and is_loopback(own):
        return True
    if is_address(realm) or is_address(own):
        return False
    _, _, parent = own.partition(".")
    shared = parent.count(".") + 1 < _LABELS_OF_A_PARENT or _PUBLIC_SUFFIX.fullmatch(parent)
    return not shared and (realm == parent or realm.endswith(f".{parent}"))
