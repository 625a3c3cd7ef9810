"""Who we are at a registry: challenges answered, tokens kept until they expire.

Token authentication is distribution's own (docs/spec/auth/token.md; oauth.md for identity tokens).
The scope is built here, `repository:<path>:pull`, and never copied from the challenge.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from webhook_launcher.adapters.registry.challenge import Challenge, parse_challenges
from webhook_launcher.adapters.registry.realm import checked_realm
from webhook_launcher.adapters.registry.refusals import denied, refusal
from webhook_launcher.adapters.registry.settings import Credential, RegistrySettings
from webhook_launcher.adapters.registry.transport import Answer, Deadline, Transport
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import RegistryDeniedError, RegistryError
from webhook_launcher.core.reference import Repository

CLIENT = "webhook-launcher"
# token.md: without `expires_in` a token lives 60 s.
DEFAULT_LIFETIME = 60.0
# Whatever a server promises, a day-old token says nothing about today's rights.
MAX_LIFETIME = 24 * 3600.0
_TOKEN_LIMIT = 256 * 1024
# RFC 6750 section 2.1 allows fewer; this keeps spaces and line ends out of a header.
_BEARER = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Grant:
    """A value for `Authorization` and until when (monotonic seconds) it is worth sending."""

    authorization: str = field(repr=False)
    until: float
    anonymous: bool


class Access:
    """Grants per registry host and repository.

    Safe for several threads without a lock: a grant is replaced whole, and two threads that renew
    at once only cost one request more.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Callable[[str], Credential | None],
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._now = now
        self._grants: dict[tuple[str, str], Grant] = {}

    def kept(self, repository: Repository) -> Grant | None:
        """The grant of an earlier challenge, if it has not expired."""
        grant = self._grants.get((repository.registry, repository.path))
        return grant if grant is not None and self._now() < grant.until else None

    def forget(self, repository: Repository) -> None:
        """Drop the grant: the next one is made of the credentials and rights of that moment."""
        self._grants.pop((repository.registry, repository.path), None)

    def renew(
        self,
        settings: RegistrySettings,
        repository: Repository,
        refused: Answer,
        deadline: Deadline,
    ) -> Grant:
        """Answer the challenge of a 401. `settings` are those of the repository's registry.

        Raises RegistryDeniedError when it cannot be answered, or may not be answered there.
        """
        self.forget(repository)
        challenges = parse_challenges(refused.headers.get("WWW-Authenticate", ""))
        offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
        credential = settings.credential or self._credentials(settings.host)
        if "bearer" in offered:
            grant = self._by_token(settings, repository, offered["bearer"], credential, deadline)
        elif "basic" in offered:
            grant = self._by_password(settings, repository, credential)
        else:
            raise RegistryDeniedError(
                f"registry {settings.host} refuses {repository} and asks for no login known here",
                advice="Bearer and Basic are supported; check the registry's `auth` configuration.",
            )
        self._grants[repository.registry, repository.path] = grant
        return grant

    def _by_password(
        self, settings: RegistrySettings, repository: Repository, credential: Credential | None
    ) -> Grant:
        """Basic, which goes to the configured host itself and nowhere else."""
        if credential is None:
            asks = f"registry {settings.host} asks for a password for {repository}"
            raise denied(asks, settings.host, anonymous=True)
        if credential.is_identity_token:
            raise RegistryDeniedError(
                f"registry {settings.host} asks for a password and docker has an identity token",
                advice=f"Give a user name and password under `registries: {settings.host}`.",
            )
        return Grant(_basic(credential), self._now() + DEFAULT_LIFETIME, anonymous=False)

    def _by_token(
        self,
        settings: RegistrySettings,
        repository: Repository,
        challenge: Challenge,
        credential: Credential | None,
        deadline: Deadline,
    ) -> Grant:
        realm = checked_realm(challenge.parameters.get("realm", ""), settings)
        wish = {"scope": f"repository:{repository.path}:pull"}
        if service := challenge.parameters.get("service"):
            wish["service"] = service
        began = self._now()  # the token's life may have begun before its last byte arrived
        answer = self._ask(realm, wish, credential, deadline)
        anonymous = credential is None
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, settings.host, f"a token for {repository}", anonymous=anonymous)
        token, lifetime = _read_token(answer.body, settings.host)
        return Grant(f"Bearer {token}", began + lifetime, anonymous)

    def _ask(
        self, realm: str, wish: dict[str, str], credential: Credential | None, deadline: Deadline
    ) -> Answer:
        headers = {"User-Agent": CLIENT, "Accept": "application/json"}
        if credential is not None and credential.is_identity_token:
            trade = {"grant_type": "refresh_token", "refresh_token": credential.password}
            form = {"client_id": CLIENT, "service": "", **wish, **trade}
            return self._transport.send(
                "POST", realm, headers, form=form, deadline=deadline, limit=_TOKEN_LIMIT
            )
        if credential is not None:
            headers["Authorization"] = _basic(credential)
        joint = "&" if "?" in realm else "?"
        url = f"{realm}{joint}{urlencode(wish)}"
        return self._transport.send("GET", url, headers, deadline=deadline, limit=_TOKEN_LIMIT)


def _basic(credential: Credential) -> str:
    """RFC 7617, in UTF-8."""
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _read_token(body: bytes, registry: str) -> tuple[str, float]:
    """The token and its lifetime in seconds. Older servers say `token`, OAuth2 `access_token`."""
    try:
        answer: Any = strict_json.loads(body)
    except strict_json.StrictJsonError as error:
        raise _bad_token(registry) from error
    if not isinstance(answer, dict):
        raise _bad_token(registry)
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise _bad_token(registry)
    lifetime = answer.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or lifetime <= 0:
        lifetime = DEFAULT_LIFETIME
    return token, float(min(lifetime, MAX_LIFETIME))


def _bad_token(registry: str) -> RegistryError:
    return RegistryError(
        f"the token server of registry {registry} answers without a usable token",
        advice="Check the registry's `auth` configuration (its `realm`).",
    )
