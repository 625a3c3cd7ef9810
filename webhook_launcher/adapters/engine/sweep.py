"""What an interrupted `up` left behind: replacements that were created and never started.

Compose creates `<12 hex of the old id>_<name>`, stops and removes the old one, renames, starts.
Killed in between, the next `up` races with its own leftover (4 of 8 failed, measured), so the
leftovers go first.
"""

import re
from collections import defaultdict
from typing import Any

from webhook_launcher.adapters.engine.connection import APIError, Client, NotFound
from webhook_launcher.adapters.engine.containers import NUMBER, ONE_OFF, PROJECT, REPLACE, SERVICE

_TEMPORARY = re.compile(r"/[0-9a-f]{12}_(?P<name>.+)")
_CONFLICT = 409
# On their way out: they will not be there for `up` to go on with.
_GOING = frozenset({"removing", "dead"})


def sweep_project(client: Client, project: str) -> None:
    """Remove the leftovers of a project; never volumes.

    A leftover that is all there is of its replica holds the anonymous volumes it inherited:
    it is kept, the newest one, under the replica's own name, and `up` goes on with it.
    """
    replicas: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for listed in client.list_containers([f"{PROJECT}={project}"]):
        labels = listed["Labels"]
        if labels.get(ONE_OFF) != "True":
            replicas[labels.get(SERVICE, ""), labels.get(NUMBER, "1")].append(listed)
    for containers in replicas.values():
        leftovers = sorted(filter(_is_leftover, containers), key=lambda found: found["Created"])
        staying = [found for found in containers if found["State"] not in _GOING]
        if leftovers and len(leftovers) == len(staying):
            _give_own_name(client, leftovers.pop())
        for leftover in leftovers:
            _remove(client, leftover["Id"])


def name_project(client: Client, project: str) -> None:
    """Give replacements that run their own names.

    When the engine carries out a killed `up`'s last removal between our sweep and our `up`, that
    one goes on with the replacement as it is called. Labels identify it, but people and other
    containers go by the name.
    """
    for listed in client.list_containers([f"{PROJECT}={project}", REPLACE]):
        if listed["State"] == "running" and listed["Labels"].get(ONE_OFF) != "True":
            _give_own_name(client, listed)


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
        if error.status_code != _CONFLICT:  # a stranger has the name: `up` will say so
            raise


def _remove(client: Client, container_id: str) -> None:
    try:
        client.remove_container(container_id, v=False)
    except NotFound:
        return
