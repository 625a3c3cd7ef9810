"""The campaign behind `make crash`: kill the launcher and its surroundings everywhere, look after.

Top to bottom, each file uses only those below it::

    crashes     kills between every two steps of a deployment, and what must hold afterwards
    outages     registry and engine that fail for a while
    faulty      a registry's front door that misbehaves
    daemon      an engine to be killed and started again
    site        one workload on a real engine, its launcher, and the promise as checks
    watch       what the engine started meanwhile
    doomed      gunicorn's configuration of a launcher with traps
    traps       where the launcher dies, told by a file
    results     what was tried and what came of it, as a table
"""
