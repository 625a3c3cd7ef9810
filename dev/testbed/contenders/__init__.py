"""Ways from a pushed image to a healthy container, each timed from the same moment.

Top to bottom, each file uses only those below it::

    by_launcher  a signed push, to the launcher
    by_hand      the floor: pull by digest, `up`, the container's healthcheck by exec
    by_polling   the seed's loop: look, write the compose file, `docker compose up -d`
    by_compose   `docker compose pull` and `up -d --wait`
    contest      what they share: a project, an image per push, a sample, a watched port
"""
