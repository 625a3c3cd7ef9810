"""`python -m webhook_launcher` and the `webhook-launcher` command."""

import signal
import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    if sys.argv[1:2] == ["serve"]:
        # A reload that is asked for during the start must not end it: from here on SIGHUP is
        # ignored, until gunicorn's master handles it. The imports below take most of a start.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from webhook_launcher.cli import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
