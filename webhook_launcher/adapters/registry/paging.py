"""The next page of a list, if an answer says that there is one (distribution-spec 1.1; RFC 8288).

Only the query of the link is taken: it is sent to the list's own place at the same registry.
"""

import re

from webhook_launcher.adapters.registry.settings import RegistrySettings
from webhook_launcher.adapters.registry.transport import Answer
from webhook_launcher.core.errors import RegistryError

# `<target>; rel="next"`, among other links perhaps. The query is sent back as it came.
_NEXT = re.compile(r"<(?P<target>[^<>]{1,4096})>\s{0,8};\s{0,8}rel=\"?next\"?(?![a-z])", re.I)
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,4096}")


def next_query(answer: Answer, settings: RegistrySettings, path: str, what: str) -> str | None:
    """The query of the next page of the list at `path`, which `what` names in errors.

    Raises RegistryError when the link leads anywhere else.
    """
    found = _NEXT.search(answer.headers.get("Link", ""))
    if found is None:
        return None
    place, _, query = found["target"].removeprefix(settings.base).partition("?")
    if place != path or not _QUERY.fullmatch(query):
        raise RegistryError(
            f"registry {settings.host} sends us elsewhere for more {what}",
            advice="Name the registry by the host that serves its lists itself, and let a proxy "
            "before it pass the Host header.",
        )
    return query
