"""`doctor`: what a deployment will need, looked at before it does."""

import argparse
from typing import Any

from webhook_launcher.checkup import Finding, Outcome
from webhook_launcher.cli import output
from webhook_launcher.cli.options import settings_of, with_config

_SHOWN = {Outcome.GOOD: "ok  ", Outcome.WARNING: "warn", Outcome.FAILED: "FAIL"}


def add(commands: Any) -> None:
    """Declare the command."""
    doctor = commands.add_parser(
        "doctor",
        parents=[with_config()],
        help="check engine, compose, registries, bind mounts, clock and state, each with a fix",
        description="Checks what a deployment needs: engine, compose, the workloads' projects, "
        "registries, bind mounts, clock and state directory. Changes nothing, and may run beside "
        "a launcher. Run it as the launcher's user, in its container if it has one.",
        epilog="exit status: 0 nothing failed, 1 something did, 78 configuration",
    )
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    # Its imports are those of the service: too many for commands that do not need them.
    from webhook_launcher.inquiry import examine  # noqa: PLC0415

    settings = settings_of(arguments)
    output.note(f"checking what {settings.path} needs")
    findings: list[Finding] = []
    for finding in examine(settings).findings():
        findings.append(finding)
        if not arguments.json:
            _show(finding)
    failed = [finding for finding in findings if finding.outcome is Outcome.FAILED]
    if arguments.json:
        output.as_json({"healthy": not failed, "findings": [_document(one) for one in findings]})
    return 1 if failed else 0


def _show(finding: Finding) -> None:
    output.line(f"{_SHOWN[finding.outcome]}  {finding.check}: {finding.detail}")
    if finding.advice is not None:
        output.line(f"      -> {finding.advice}")


def _document(finding: Finding) -> dict[str, str | None]:
    return {
        "check": finding.check,
        "status": finding.outcome.value,
        "detail": finding.detail,
        "advice": finding.advice,
    }
