"""Docker Compose: which services run an image, and recreating them pinned to a digest.

Top to bottom, each file uses only those below it::

    client     Compose: services, pin, up, version
    model      what `config --format json` says of a project
    files      which files a project has when the user names none
    program    where the compose binary is, and its environment
    written    the JSON files that we write: whole and durable, or not at all
"""

from webhook_launcher.adapters.compose.client import Compose
from webhook_launcher.adapters.compose.files import first_files
from webhook_launcher.adapters.compose.program import find_program, program_environment

__all__ = ["Compose", "find_program", "first_files", "program_environment"]
