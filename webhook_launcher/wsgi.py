"""What gunicorn loads: `webhook_launcher.wsgi:app`. The only module with import side effects.

Reads the configuration named by $LAUNCHER_CONFIG, opens the journal and locks the state
directory. The loops are started and stopped by the hooks in `serving`.
"""

from webhook_launcher import log
from webhook_launcher.app import build, config_path
from webhook_launcher.config import load
from webhook_launcher.sources import KINDS

log.set_up()
service = build(load(config_path(), KINDS))
app = service.app
