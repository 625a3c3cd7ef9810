"""`journal restore`: back to the journal as it was before an upgrade."""

import argparse
from typing import Any

from webhook_launcher.adapters.journal import Restoration, preview, restore, set_aside
from webhook_launcher.cli import options, output
from webhook_launcher.core.receipts import Head

SUCCESS = 0
_WORDS = {
    "deliveries": ("delivery", "deliveries"),
    "deployments": ("deployment", "deployments"),
    "receipts": ("receipt", "receipts"),
    "waiting": ("waiting intent", "waiting intents"),
}


def add(commands: Any) -> None:
    """Declare the command and what it can do."""
    journal = commands.add_parser(
        "journal", help="go back to the journal as it was before an upgrade"
    )
    actions = journal.add_subparsers(required=True, metavar="ACTION", title="actions")
    back = actions.add_parser(
        "restore",
        parents=[options.with_config()],
        help="put the copy back that an upgrade made, and set the newer journal aside",
        description="Puts the copy of the journal back that an upgrade made. The newer journal is "
        "kept in another file. Stop the launcher first, and run this with the newer version, as "
        "the launcher's user, before the older version is installed.",
        epilog="exit status: 0 restored (or the schema is this one already), 1 failure, 2 usage, "
        "78 configuration",
    )
    back.add_argument(
        "--schema",
        type=options.whole(1, 999_999),
        metavar="N",
        help="of the copy (default: the newest copy of an older schema)",
    )
    back.add_argument(
        "--dry-run", action="store_true", help="show what it would do; change nothing"
    )
    back.set_defaults(run=_restore)


def _restore(arguments: argparse.Namespace) -> int:
    state = options.settings_of(arguments).state
    done = (preview if arguments.dry_run else restore)(state, arguments.schema)
    if done is None:
        before = [str(path) for path in set_aside(state)]
        if arguments.json:
            output.as_json({"restored": False, "to": arguments.schema, "set_aside_before": before})
        else:
            output.line(f"the journal has schema {arguments.schema} already: nothing was changed")
            for path in before:
                output.line(f"set aside before: {path}")
        return SUCCESS
    if arguments.json:
        output.as_json(_document(done, dry_run=arguments.dry_run))
    else:
        _show(done, dry_run=arguments.dry_run)
    return SUCCESS


def _document(done: Restoration, *, dry_run: bool) -> dict[str, Any]:
    return {
        "restored": not dry_run,
        "dry_run": dry_run,
        "from": done.found,
        "to": done.schema,
        "copy": str(done.copy),
        "copied_at": done.copied_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        # The name contains the time, so a dry run cannot know it.
        "set_aside": {"file": None if dry_run else str(done.aside), **done.counts},
        "receipts": {"set_aside_head": _text(done.head), "head": _text(done.head_left)},
        "not_carried_over": list(done.not_carried),
    }


def _text(head: Head | None) -> str | None:
    return str(head) if head else None


def _show(done: Restoration, *, dry_run: bool) -> None:
    verb = "would restore" if dry_run else "restored"
    output.line(
        f"{verb}: schema {done.schema} instead of {done.found}, from {done.copy} "
        f"({done.copied_at:%Y-%m-%d %H:%M:%S}Z)"
    )
    later = ", ".join(_counted(what, done.counts[what]) for what in _WORDS)
    output.line(f"{'would set' if dry_run else 'set'} aside: {later}")
    output.line(f"  in {done.aside.name if dry_run else done.aside}")
    output.line("carried over: what runs, quarantine, pauses, the order of deploy events")
    if done.head is not None and done.head != done.head_left:
        output.line(
            f"receipts: the chain goes on after {done.head_left or 'none'}; "
            f"{done.head} is the head of those set aside"
        )
    if done.counts["waiting"]:
        output.note(
            "note: waiting intents are not carried out. Senders may send them again; a pushed image"
        )
        output.note("  is found by the check at start.")
    if done.counts["interrupted"]:
        output.note("note: a deployment was interrupted. The current release is restored at start.")
    for table in done.not_carried:
        output.note(f"warning: {table} could not be carried over; the copy's content is in force")


def _counted(what: str, count: int | None) -> str:
    one, many = _WORDS[what]
    return f"{'an unknown number of' if count is None else count} {one if count == 1 else many}"
