"""All tags of a repository, page by page: `GET /v2/<repository>/tags/list`.

The distribution-spec (1.1, "Listing Tags") pages by `n` and `last`, and says in a `Link` where the
next page is. A list that is cut short could hide the newest tag and lead back to an older one, so
a list that is not read to its end is an error, never a shorter list.
"""

from collections.abc import Callable
from typing import Any

from webhook_launcher.adapters.registry.exchange import Exchange
from webhook_launcher.adapters.registry.paging import next_query
from webhook_launcher.adapters.registry.transport import Answer, Deadline
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import InvalidReferenceError, RegistryError
from webhook_launcher.core.reference import Repository, make_tag

# How many we ask for at once. Registries give fewer if they like: GHCR and Quay 100.
PAGE = 1000
MAX_PAGES = 500
MAX_TAGS = 50_000
MAX_BYTES = 16 * 1024 * 1024
SECONDS = 60.0
_MAX_PAGE_BYTES = 4 * 1024 * 1024


class TagLists:
    """Reads tag lists through an exchange."""

    def __init__(self, exchange: Exchange, now: Callable[[], float]) -> None:
        self._exchange = exchange
        self._now = now

    def read(self, repository: Repository) -> list[str]:
        """Every tag, in the registry's order, none twice. Raises the RegistryErrors."""
        deadline = Deadline(self._now, SECONDS)
        tags: dict[str, None] = {}
        asked: set[str] = set()
        left = MAX_BYTES
        query: str | None = f"n={PAGE}"
        while query is not None:
            if query in asked or len(asked) == MAX_PAGES:
                raise _endless(repository)
            asked.add(query)
            answer = self._page(repository, query, deadline, left)
            left -= len(answer.body)
            page = _tags(answer, repository)
            known = len(tags)
            tags.update(dict.fromkeys(page))
            if len(tags) > MAX_TAGS or left <= 0:
                raise _endless(repository)
            query = next_query(
                answer,
                self._exchange.settings(repository.registry),
                f"/v2/{repository.path}/tags/list",
                f"tags of {repository}",
            )
            # Some send no link; a full page that brought something may have another after it.
            if query is None and len(page) == PAGE and len(tags) > known:
                query = f"n={PAGE}&last={page[-1]}"
        return list(tags)

    def _page(self, repository: Repository, query: str, deadline: Deadline, left: int) -> Answer:
        return self._exchange.ask(
            "GET",
            repository,
            f"tags/list?{query}",
            what=f"the tags of {repository}",
            deadline=deadline,
            limit=min(_MAX_PAGE_BYTES, left),
            accept="application/json",
        )


def _tags(answer: Answer, repository: Repository) -> list[str]:
    """The tags of one page. What is no tag by its grammar cannot be pulled and is left out."""
    try:
        document: Any = strict_json.loads(answer.body)
    except strict_json.StrictJsonError:
        document = None
    listed = document.get("tags", False) if isinstance(document, dict) else False
    if listed is None:  # of an empty repository, says distribution
        return []
    if not isinstance(listed, list):
        raise RegistryError(
            f"registry {repository.registry} answers without a list of tags for {repository}",
            advice="Check that this host is a registry with the v2 API.",
        )
    return [tag for tag in listed if isinstance(tag, str) and _is_tag(tag)]


def _is_tag(text: str) -> bool:
    try:
        make_tag(text)
    except InvalidReferenceError:
        return False
    return True


def _endless(repository: Repository) -> RegistryError:
    return RegistryError(
        f"the list of tags of {repository} has no end within {MAX_TAGS} tags, "
        f"{MAX_PAGES} pages and {MAX_BYTES // 1024**2} MiB",
        advice="Delete tags that nobody needs any more, or follow a single one: `track: {tag: …}`.",
    )
