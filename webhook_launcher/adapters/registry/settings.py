"""How each registry is spoken to: its address, plain HTTP or TLS, credentials, time limits."""

import ipaddress
from dataclasses import dataclass, field

from webhook_launcher.core.reference import DOCKER_HUB

# docker.io is a name in references; its API answers elsewhere.
_HUB_API = "registry-1.docker.io"
# What docker and credential helpers write in place of a user name beside an identity token.
_IDENTITY_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password, or an identity token (an OAuth2 refresh token) as the password.

    Neither part is in the repr: some registries want a token as the user name.
    """

    username: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def identity_token(cls, token: str) -> "Credential":
        """What `docker login` leaves for registries that hand out refresh tokens."""
        return cls(_IDENTITY_USER, token)

    @property
    def is_identity_token(self) -> bool:
        """True when the password may only be traded for an access token."""
        return self.username == _IDENTITY_USER


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect (TCP, TLS), for one whole response, for all requests of one lookup."""

    connect: float = 5.0
    response: float = 10.0
    total: float = 30.0


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """One registry of `registries:`. `host` is `host[:port]` as it appears in references.

    `insecure` allows plain HTTP; loopback hosts are spoken to in plain HTTP without it.
    `token_realm_host` names the one other host that may receive this registry's credentials.
    """

    host: str
    insecure: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token_realm_host: str | None = None

    @property
    def plain(self) -> bool:
        """True when it is spoken to in plain HTTP."""
        return self.insecure or is_loopback(hostname(self.host))

    @property
    def address(self) -> str:
        """`host[:port]` of its API."""
        return _HUB_API if self.host == DOCKER_HUB else self.host

    @property
    def base(self) -> str:
        """Scheme and address, without a slash at the end."""
        return f"{'http' if self.plain else 'https'}://{self.address}"

    @property
    def credential(self) -> Credential | None:
        """The configured credential; it wins over docker's."""
        if self.username is None or self.password is None:
            return None
        return Credential(self.username, self.password)


def hostname(host: str) -> str:
    """`host[:port]` without its port, and without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_address(name: str) -> bool:
    """True for an IPv4 or IPv6 address, false for a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """True for `localhost`, 127.0.0.0/8 and ::1: what is sent there stays on this machine."""
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
