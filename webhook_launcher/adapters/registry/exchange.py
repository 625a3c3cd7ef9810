"""One question to a registry, asked as who we are there.

First with the grant that we have, and after a 401 once more with a fresh one.
"""

from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus

from webhook_launcher.adapters.registry.access import CLIENT, Access, Grant
from webhook_launcher.adapters.registry.outage import Outages
from webhook_launcher.adapters.registry.refusals import refusal
from webhook_launcher.adapters.registry.settings import Credential, RegistrySettings
from webhook_launcher.adapters.registry.transport import Answer, Deadline, Transport
from webhook_launcher.core.reference import Repository, make_repository


class Exchange:
    """Asks registries. `settings` are by host; a host without any gets the defaults."""

    def __init__(
        self,
        settings: Mapping[str, RegistrySettings],
        credentials: Callable[[str], Credential | None],
        transport: Transport,
        now: Callable[[], float],
    ) -> None:
        self._settings = dict(settings)
        self._transport = transport
        self._access = Access(transport, credentials, now)
        self._outages = Outages(now)

    def settings(self, registry: str) -> RegistrySettings:
        """How a registry is spoken to."""
        return self._settings.get(registry) or RegistrySettings(registry)

    def ask(
        self,
        method: str,
        repository: Repository,
        place: str,
        *,
        what: str,
        deadline: Deadline,
        limit: int,
        accept: str = "*/*",
        also: Collection[int] = (),
    ) -> Answer:
        """The answer for `/v2/<repository>/<place>`: a 200, or a status of `also`.

        `what` names in errors what was asked for. Anything else is raised as the RegistryError
        that says who must act.
        """
        settings = self.settings(repository.registry)
        # The grammar is checked here once more, where it becomes a URL.
        path = make_repository(repository.registry, repository.path).path
        url = f"{settings.base}/v2/{path}/{place}"
        headers = {"Accept": accept, "User-Agent": CLIENT}
        grant = self._access.kept(repository)
        with self._outages.asking(settings.host):
            answer = self._send(method, url, headers, grant, deadline, limit)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                grant = self._access.renew(settings, repository, answer, deadline)
                answer = self._send(method, url, headers, grant, deadline, limit)
        if answer.status == HTTPStatus.OK or answer.status in also:
            return answer
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._access.forget(repository)
        anonymous = grant is None or grant.anonymous
        raise refusal(answer, repository.registry, what, anonymous=anonymous)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        grant: Grant | None,
        deadline: Deadline,
        limit: int,
    ) -> Answer:
        own = {"Authorization": grant.authorization} if grant is not None else {}
        return self._transport.send(method, url, {**headers, **own}, deadline=deadline, limit=limit)
