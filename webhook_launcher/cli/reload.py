"""`reload`: have the running launcher put the configuration file in force, and print the result.

With `admin` in the configuration, or --url, the launcher is asked through its API. Where that is
no way in (no `admin`, an address or token that is not in force yet), the command sends SIGHUP to
the process that the state directory names, and reads the result there.
"""

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webhook_launcher.adapters import running_file
from webhook_launcher.cli import options, output
from webhook_launcher.cli.client import Client, RefusedError, UnreachableError
from webhook_launcher.cli.remote import client_of, url_of, with_launcher
from webhook_launcher.core.errors import (
    ConfigurationError,
    LauncherError,
    Problem,
    ReloadUnfinishedError,
)

SUCCESS, TIMED_OUT = 0, 4
_API = ("api", "v1", "reload")
# Seconds that a reload by signal may take, and after which the signal is sent again: a worker
# process that dies takes the request with it.
_PATIENCE, _AGAIN = 30.0, 3.0
_LOOK = 0.05
# Statuses of the API that say: this token or path is not (yet) the running launcher's.
_NO_WAY_IN = frozenset({401, 403, 404, 405})


class NotPermittedError(LauncherError):
    """The state directory or the launcher's process belongs to another user."""

    code = "not-permitted"
    default_advice = (
        "Run the command as root, or as the launcher's user: `sudo -u USER webhook-launcher "
        "reload`; in a container: `docker compose exec launcher webhook-launcher reload`."
    )


def add(commands: Any) -> None:
    """Declare the command."""
    reload = commands.add_parser(
        "reload",
        parents=[with_launcher()],
        help="put the changed configuration in force, in the running launcher",
        epilog="exit status: 0 in force, 78 refused (nothing changed), 4 no result within 30 s",
    )
    reload.set_defaults(run=_reload)


def _reload(arguments: argparse.Namespace) -> int:
    try:
        result = _asked(arguments)
    except ReloadUnfinishedError as error:
        output.complain(error, as_document=arguments.json)
        return TIMED_OUT
    if arguments.json:
        output.as_json(result)
    else:
        _tell(result)
    return SUCCESS


def _asked(arguments: argparse.Namespace) -> Mapping[str, Any]:
    if arguments.url:
        return _through_api(client_of(arguments))
    access = options.access_of(arguments)
    if access.admin_token is not None or arguments.token_file:
        try:
            return _through_api(client_of(arguments))
        except UnreachableError:
            pass  # `listen` may have changed; whether a launcher runs, the state directory says
        except RefusedError as error:
            if error.status not in _NO_WAY_IN:
                raise
    return _through_state(access.state, url_of(access))


def _through_api(client: Client) -> Mapping[str, Any]:
    try:
        return client.post(*_API)
    except RefusedError as error:
        if error.problem.get("code") == ConfigurationError.code:
            raise _refused(error.problem["problems"]) from None
        if error.problem.get("code") == ReloadUnfinishedError.code:
            raise ReloadUnfinishedError(str(error.problem["detail"])) from None
        raise


def _through_state(state: Path, url: str) -> Mapping[str, Any]:
    """Send the signal, and wait for a reload that began after this command did."""
    began = time.monotonic()
    signalled = -math.inf
    while (now := time.monotonic()) < began + _PATIENCE:
        running = _running(state, url)
        if running is None:
            pass  # it starts, or its worker process is being replaced
        elif running.reload is not None and running.reload.began >= began:
            return _in_force(running.reload.result)
        elif now - signalled >= _AGAIN:
            _signal(running.master)
            signalled = now
        time.sleep(_LOOK)
    raise ReloadUnfinishedError(
        f"the launcher with state {state} gave no result in {_PATIENCE:g} s"
    )


def _running(state: Path, url: str) -> running_file.Running | None:
    """Return the running launcher, None while it starts; UnreachableError when there is none."""
    try:
        running = running_file.read(state)
        locked = running is not None or running_file.is_locked(state)
    except PermissionError:
        raise NotPermittedError(
            f"the state directory {state} cannot be read by this user"
        ) from None
    except OSError as error:
        raise UnreachableError(
            f"cannot read the state directory {state}: {error.strerror}"
        ) from None
    if not locked:
        raise UnreachableError(
            f"no launcher runs with the state directory {state}, and none answers at {url}",
            advice="Start it with `webhook-launcher serve`. For a launcher in a container, run the "
            "command in there: `docker compose exec launcher webhook-launcher reload`.",
        )
    return running


def _signal(master: running_file.Process) -> None:
    try:
        running_file.request_reload(master)
    except PermissionError:
        raise NotPermittedError(f"the launcher (process {master.pid}) is another user's") from None


def _in_force(result: Mapping[str, Any]) -> Mapping[str, Any]:
    if "problems" in result:
        raise _refused(result["problems"])
    if result.get("code") == ReloadUnfinishedError.code:
        raise ReloadUnfinishedError(str(result["detail"]))
    if "code" in result:
        raise LauncherError(str(result["detail"]))
    return result


def _refused(problems: list[Mapping[str, str]]) -> ConfigurationError:
    return ConfigurationError([Problem(one["path"], one["message"]) for one in problems])


def _tell(result: Mapping[str, Any]) -> None:
    output.line("reloaded: the configuration is in force")
    for title in ("sources", "workloads", "removed"):
        if result[title] or title != "removed":
            output.line(f"  {title}: {', '.join(result[title]) or 'none'}")
    for name in result["needs_restart"]:
        output.note(f"  note: `{name}` stays as it was until a restart")
