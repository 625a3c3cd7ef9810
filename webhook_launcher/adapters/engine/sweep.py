"""Remove what an interrupted `up` left: replacements that were created and never started.

Only containers of the named services are looked at. A replacement of another service may belong
to a `docker compose up` that a person has just started.

Compose creates `<12 hex of the old id>_<name>`, stops and removes the old one, renames, starts.
Killed in between, the next `up` races with its own leftover (4 of 8 failed, measured), so the
leftovers go first.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from webhook_launcher.adapters.engine.connection import APIError, Client, NotFound
from webhook_launcher.adapters.engine.containers import NUMBER, ONE_OFF, PROJECT, REPLACE, SERVICE

_TEMPORARY = re.compile(r"/[0-9a-f]{12}_(?P<name>.+)")
_CONFLICT = 409
_BAD_REQUEST = 400
# On their way out: they will not be there for `up` to go on with.
_GOING = frozenset({"removing", "dead"})


def sweep_services(client: Client, project: str, services: Collection[str]) -> None:
    """Remove the leftovers of the services; never volumes.

    A leftover that is all there is of its replica holds the anonymous volumes it inherited:
    it is kept, the newest one, under the replica's own name, and `up` goes on with it.
    """
    replicas: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for listed in client.list_containers([f"{PROJECT}={project}"]):
        labels = listed["Labels"]
        if _belongs(labels, services):
            replicas[labels[SERVICE], labels.get(NUMBER, "1")].append(listed)
    for containers in replicas.values():
        leftovers = sorted(filter(_is_leftover, containers), key=lambda found: found["Created"])
        staying = [found for found in containers if found["State"] not in _GOING]
        if leftovers and len(leftovers) == len(staying):
            _give_own_name(client, leftovers.pop())
        for leftover in leftovers:
            _remove(client, leftover["Id"])


def name_services(client: Client, project: str, services: Collection[str]) -> None:
    """Give replacements that run their own names.

    When the engine carries out a killed `up`'s last removal between our sweep and our `up`, that
    one goes on with the replacement as it is called. Labels identify it, but people and other
    containers go by the name.
    """
    for listed in client.list_containers([f"{PROJECT}={project}", REPLACE]):
        if listed["State"] == "running" and _belongs(listed["Labels"], services):
            _give_own_name(client, listed)


def _belongs(labels: Mapping[str, str], services: Collection[str]) -> bool:
    return labels.get(SERVICE) in services and labels.get(ONE_OFF) != "True"


def _is_leftover(listed: dict[str, Any]) -> bool:
    return listed["State"] == "created" and REPLACE in listed["Labels"]


def _give_own_name(client: Client, listed: dict[str, Any]) -> None:
    temporary = _TEMPORARY.fullmatch(listed["Names"][0])
    if temporary is None:
        return  # the interrupted `up` had come that far itself
    try:
        client.rename(listed["Id"], temporary["name"])
    except NotFound:
        return
    except APIError as error:
        # Another container has the name (`up` will say so), or a person renamed this one meanwhile
        # (the engine answers 400 to a rename that changes nothing).
        if error.status_code not in (_CONFLICT, _BAD_REQUEST):
            raise


def _remove(client: Client, container_id: str) -> None:
    try:
        client.remove_container(container_id, v=False)
    except NotFound:
        return
