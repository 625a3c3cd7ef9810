"""`python -m webhook_launcher` and the `webhook-launcher` command."""

import sys

from webhook_launcher.cli import run


def main() -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
