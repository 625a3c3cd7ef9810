"""The upgrade of a journal that an older version wrote: a copy first, then all steps at once.

The steps and the new version number are one transaction, so a kill leaves the old journal or the
new one. The copy is what `restoration` goes back to.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from webhook_launcher.adapters.journal.copies import (
    copies,
    copy_path,
    require_space,
    size_of_database,
    tidy,
    write_copy,
)
from webhook_launcher.adapters.journal.damage import NAME, is_damage
from webhook_launcher.adapters.journal.schema import (
    STEPS,
    Step,
    bring_up_to_date,
    newest,
    version_of,
)
from webhook_launcher.core.errors import JournalError, JournalTooNewError

_log = logging.getLogger(__name__)


def refuse_newer(
    connection: sqlite3.Connection, state: Path, steps: Sequence[Step] = STEPS
) -> None:
    """Raise JournalTooNewError, with the way back, when a newer version wrote the journal."""
    found, readable = version_of(connection), newest(steps)
    if found <= readable:
        return
    known = [schema for schema in copies(state) if schema <= readable]
    if not known:
        raise JournalTooNewError(
            found,
            readable,
            advice=f"Run the version that wrote it. To go back, there is no copy that this version "
            f"reads in {state}: move {NAME} aside, and a new journal begins.",
        )
    raise JournalTooNewError(
        found,
        readable,
        advice="Run the version that wrote it. Or go back to the journal as it was before the "
        f"upgrade: `webhook-launcher journal restore --schema {known[-1]}`, best with the newer "
        "version, before this one is installed; `--dry-run` shows what would be set aside.",
    )


def upgrade_pending(state: Path, steps: Sequence[Step] = STEPS) -> bool:
    """Return True when the next start upgrades the journal, or refuses it as too new; read only."""
    if not (state / NAME).exists():
        return False
    try:
        address = f"{(state / NAME).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return version_of(connection) not in (0, newest(steps))
    except sqlite3.Error:  # damaged, or not readable for this user: opening it says which
        return False


def upgrade(
    connection: sqlite3.Connection,
    state: Path,
    tables: Iterable[str],
    steps: Sequence[Step] = STEPS,
) -> None:
    """Bring the open journal to the newest schema; before the first step, copy the file.

    The caller holds the lock of the state directory and has checked the file for damage. Raises
    JournalError with the journal unchanged, such as without the disk space for the copy.
    """
    tidy(state)
    found, wanted = version_of(connection), newest(steps)
    if not 0 < found < wanted:
        bring_up_to_date(connection, tables, steps)
        return
    began = time.monotonic()
    _copy(connection, state, found, wanted)
    try:
        bring_up_to_date(connection, tables, steps)
    except sqlite3.Error as error:
        if is_damage(error):
            raise
        raise JournalError(
            f"cannot upgrade the journal in {state} from schema {found} to {wanted}: {error}",
            advice="Nothing was changed; the next start tries again. If it fails again, install "
            "the former version, which reads the journal as it is, and report this.",
        ) from error
    _log.warning(
        "journal upgraded",
        extra={"from": found, "to": wanted, "seconds": round(time.monotonic() - began, 3)},
    )


def _copy(connection: sqlite3.Connection, state: Path, found: int, wanted: int) -> None:
    """Copy the journal; the space required includes the pages that the steps change."""
    purpose = f"upgrade the journal from schema {found} to {wanted}"
    size = size_of_database(connection)
    require_space(state, 2 * size, purpose)
    target = copy_path(state, found)
    try:
        write_copy(connection, target)
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise
        raise JournalError(f"cannot copy the journal to {target} to {purpose}: {error}") from error
    _log.info("journal copied", extra={"file": str(target), "schema": found, "bytes": size})
