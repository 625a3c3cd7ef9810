"""What gunicorn loads: `webhook_launcher.wsgi:app`. The only module with import side effects.

Opens the journal and locks the state directory, under the configuration that gunicorn's master
process holds (`serving`), or the one that $LAUNCHER_CONFIG names. The loops are started, stopped
and reloaded by the hooks in `serving`.
"""

from webhook_launcher import configured, log
from webhook_launcher.reload import Running

log.set_up()
app = Running(configured.settings(), configured.read)
