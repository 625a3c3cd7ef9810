"""The Docker Engine, through the docker SDK's low-level client.

Top to bottom, each file uses only those below it::

    engine      Engine: the methods that the launcher and the gate call
    sweep       what an interrupted `up` left behind
    adoption    what runs now, as an Image
    endings     did the engine end a container?
    mounts      are project directories where the engine sees them? (launcher in a container)
    removal     images of former releases that nobody needs
    keep        tags that keep an image from pruning, and say whose it is
    pull        pull by digest, errors of the stream raised
    containers  an inspected container -> Container
    connection  clients, API version, unavailable or not
    frames      the engine's multiplexed stdout and stderr, bounded
"""

from webhook_launcher.adapters.engine.connection import Connection
from webhook_launcher.adapters.engine.engine import Engine

__all__ = ["Connection", "Engine"]
