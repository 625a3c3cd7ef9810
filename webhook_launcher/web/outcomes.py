"""Sentences for the sender of a delivery: one for each code, without any program's output.

The detail of an intent can quote a healthcheck's output, Compose, a container's log or a program
of the user's, and with them secrets (an Authorization header that curl printed). The sender knows
the delivery's id and nothing else, so it gets the sentence and where the detail is.
"""

from collections.abc import Mapping

from webhook_launcher.core.model import Deployment, Intent, Status

_AGAIN = "the launcher tries again by itself."
# By the code of an intent: every error that can settle or postpone one, and the codes beside them.
SENTENCES: Mapping[str, str] = {
    "unchanged": "There was nothing to do: the image runs already.",
    "not-deployed": "The image is not deployed: the workload follows another one now, or this one "
    "failed here, or an operator went back from it.",
    "superseded": "A newer request for this workload took the place of this one.",
    "not-judged": "The release did not become healthy here, but the host or another actor may be "
    f"the cause; {_AGAIN}",
    "degraded": f"The current release is not healthy; {_AGAIN}",
    "interrupted": "The launcher was stopped before anything was touched.",
    "set-aside": "The launcher went back to an older journal after this had ended.",
    "fault": "The launcher met a fault of its own.",
    "launcher-error": "The launcher could not carry out the request.",
    "command": "The request cannot be carried out as things stand.",
    "unknown-workload": "The workload is no longer in the launcher's configuration.",
    "no-previous-release": "There is no release to return to.",
    "command-not-found": "A program that the workload needs is not on the launcher's host.",
    "command-timeout": "A program that the workload needs did not end in its time.",
    "not-adoptable": "Containers are there that the launcher did not deploy and could not bring "
    "back, or that are stopped; nothing was touched.",
    "track-failed": "What the workload follows could not be found out.",
    "hook-failed": "A hook of the workload failed.",
    "verification": "The image was refused; what ran goes on.",
    "invalid-reference": "The request names no valid image reference; what ran goes on.",
    "digest-mismatch": "The registry's bytes do not have the digest that was asked for; what ran "
    "goes on.",
    "unsupported-manifest": "The registry has no image for the launcher's platform under this "
    "reference; what ran goes on.",
    "policy-refused": "A policy of the workload refused the image; what ran goes on.",
    "too-young": "The image is younger than the workload's policy allows; it is deployed when it "
    "is old enough.",
    "not-together-yet": "The images of the workload are not of one build yet.",
    "not-signed-yet": "The image has no signature that counts yet.",
    "registry": "The registry's answer cannot be used; what ran goes on.",
    "registry-denied": "The registry denied access to the image; what ran goes on.",
    "manifest-not-found": "The registry does not have this tag or digest; what ran goes on.",
    "registry-unavailable": "The registry could not be reached.",
    "rate-limited": "The registry answers no more requests for a while.",
    "engine": "The container engine on the launcher's host refused.",
    "engine-unavailable": f"The container engine on the launcher's host does not answer; {_AGAIN}",
    "pull-failed": "The engine could not pull the image; what ran goes on.",
    "compose-failed": "Compose could not start the release.",
    "start-refused": "Compose did not start the release; it is tried once more.",
    "project-busy": "An earlier Compose command still works on the project.",
    "unhealthy": "The release did not become healthy, or was not the image it should be.",
}
_BY_STATUS: Mapping[Status, str] = {
    Status.SUCCESS: "The release runs and is healthy.",
    Status.FAILURE: "The release did not become healthy.",
    Status.ERROR: "The request could not be carried out.",
    Status.INACTIVE: "There is nothing left to do.",
}
_RESTORED: Mapping[bool, str] = {
    True: " The release before it is back.",
    False: f" No healthy release runs; {_AGAIN}",
}
_WELL = frozenset({Status.SUCCESS, Status.INACTIVE})


def sentence(intent: Intent, deployment: Deployment | None) -> str | None:
    """Return what happened and where the details are; None when there is nothing to say yet.

    `deployment` is the attempt that the intent led to, if it led to one.
    """
    if intent.code is None:
        told = _BY_STATUS.get(intent.status)
    else:
        told = SENTENCES.get(intent.code) or _BY_STATUS.get(intent.status)
    if told is None or intent.status in _WELL:
        return told
    if deployment is not None and deployment.restored is not None:
        told += _RESTORED[deployment.restored]
    command = "status" if deployment is None else "history"
    return f"{told} Details: `webhook-launcher {command} {intent.workload}` on the launcher's host."
