"""Who may write in the state directory decides what runs: nobody but us."""

import stat
from pathlib import Path

from webhook_launcher.core.errors import JournalError


def check_directory(state: Path) -> None:
    """Raise JournalError for a directory in which everybody may write; reads only.

    Of one that is not there, or out of reach, whoever uses it says so.
    """
    try:
        mode = state.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IWOTH:
        raise JournalError(
            f"everybody on this host may write to the state directory {state}",
            advice=f"Who writes there decides what runs: `chmod 0700 {state}`, and look at "
            "what is in it.",
        )
