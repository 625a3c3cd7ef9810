"""gunicorn reads this file from the working directory; the settings live in the package.

So `webhook-launcher serve` and `gunicorn webhook_launcher.wsgi:app` are one thing.
"""

from webhook_launcher.serving import *  # noqa: F403
