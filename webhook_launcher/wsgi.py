"""What gunicorn loads: `webhook_launcher.wsgi:app`. The only module with import side effects.

Opens the journal and locks the state directory, under the configuration that gunicorn's master
process holds (`serving`), or the one that $LAUNCHER_CONFIG names. The loops are started, stopped
and reloaded by the hooks in `serving`.
"""

import logging
import sys

from gunicorn.arbiter import Arbiter

from webhook_launcher import configured, log
from webhook_launcher.core.errors import LauncherError
from webhook_launcher.reload import Running

log.set_up()
try:
    app = Running(configured.settings(), configured.read, held=configured.held_by_master)
except LauncherError as error:
    logging.getLogger(__name__).critical(
        "cannot start", extra={"code": error.code, "detail": str(error), "advice": error.advice()}
    )
    sys.exit(Arbiter.WORKER_BOOT_ERROR)  # gunicorn ends then; whoever restarts it tries again
