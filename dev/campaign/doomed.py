"""gunicorn's configuration of a launcher with traps: `webhook_launcher.serving`, and no more.

LAUNCHER_CONFIG=… CAMPAIGN_PLAN=FILE python -m gunicorn --config python:campaign.doomed
"""

import os
from pathlib import Path

from campaign.traps import PLAN_VARIABLE, Traps
from webhook_launcher import serving

Traps(Path(os.environ[PLAN_VARIABLE])).install()
globals().update({name: value for name, value in vars(serving).items() if name[0] != "_"})
