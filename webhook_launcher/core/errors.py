"""Every error the launcher raises on purpose, in families by *who must act*.

::

    LauncherError
    ├── ConfigurationError            the operator: the configuration file
    ├── ReloadUnfinishedError         retryable: the operator: the launcher's log
    ├── CommandError                  the operator: an action that cannot be carried out
    │   ├── UnknownWorkloadError
    │   ├── NoPreviousReleaseError
    │   ├── NotAdoptableError         what runs could not be brought back
    │   ├── CommandNotFoundError      a program is not there, or is none
    │   ├── CommandTimeoutError       retryable: a program did not end in its time
    │   ├── TrackError                retryable: `track` leads to no reference
    │   └── HookError                 a `hooks.before` command said no
    ├── EventError                    the sender
    │   ├── AuthenticationError       401
    │   ├── MalformedEventError       400; 200 for senders that punish 4xx
    │   │   ├── UnreadableBodyError   no JSON at all
    │   │   └── ContradictionError    two fields disagree
    │   └── OutOfScopeError           422 (deploy sources only)
    ├── VerificationError             the publisher; trying again changes nothing
    │   ├── InvalidReferenceError
    │   ├── DigestMismatchError       somebody's bytes are not what their digest says
    │   ├── UnsupportedManifestError
    │   └── PolicyRefusedError
    │       ├── NotRipeError          retryable: will hold at a known time
    │       ├── NotTogetherYetError   retryable: one image is pushed before the other
    │       └── NotSignedYetError     retryable: people push first and sign then
    ├── RegistryError                 the registry
    │   ├── RegistryDeniedError       401/403
    │   ├── ManifestNotFoundError     404
    │   └── RegistryUnavailableError  retryable: refused, timed out, 5xx
    │       └── RateLimitedError      429
    ├── EngineError                   the host
    │   ├── EngineUnavailableError    retryable
    │   ├── PullError
    │   ├── ComposeError
    │   ├── StartRefusedError         retryable: compose did not start a release, the first time
    │   ├── NotJudgedError            retryable: a release failed, perhaps not by its own fault
    │   ├── SupersededError           a newer intent ended the wait for a release
    │   ├── ProjectBusyError          retryable: an earlier `up` still runs
    │   └── UnhealthyWorkloadError    triggers rollback
    └── JournalError                  our own disk
        ├── JournalDamagedError       its file; the launcher begins anew
        ├── JournalTooNewError        a newer version wrote it
        ├── StateLockedError          a second launcher
        ├── QueueFullError            retryable: too many intents wait
        ├── SigningKeyError           the key of the receipts
        └── BrokenChainError          the receipts are not what was signed

`str(error)` says what happened, `advice()` what to do, `code` is a stable slug that appears on the
page, in JSON and in receipts. Whether to try again is read from `retryable`, in `worker.py` and
nowhere else. No error carries a secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


class LauncherError(Exception):
    """What happened, in one sentence; the advice says what to do about it."""

    code: ClassVar[str] = "launcher-error"
    retryable: ClassVar[bool] = False
    # How often it is tried in all, the pause doubling from 1 s up to 5 min: by default an hour and
    # a quarter of an outage, then the poll takes over.
    max_attempts: ClassVar[int] = 20
    default_advice: ClassVar[str] = "See the launcher's log for the step that failed."

    def __init__(self, happened: str, *, advice: str | None = None) -> None:
        super().__init__(happened)
        self._advice = advice

    def advice(self) -> str:
        """What the person who must act should do."""
        return self._advice or self.default_advice


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in the configuration file: where it is (`sources.ci.keys[0]`) and what to write."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationError(LauncherError):
    """The configuration cannot be used; carries every problem, not only the first."""

    code = "configuration"
    default_advice = "Correct the configuration file, then run `webhook-launcher check`."

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def as_documents(self) -> list[dict[str, str]]:
        """Return the problems as JSON shows them."""
        return [{"path": problem.path, "message": problem.message} for problem in self.problems]


class ReloadUnfinishedError(LauncherError):
    """A reload had no result in time; the configuration before may still be in force."""

    code = "reload-unfinished"
    retryable = True
    default_advice = "Read the launcher's log, then run `webhook-launcher reload` again."


class CommandError(LauncherError):
    """An operator asked for something that cannot be done as things stand."""

    code = "command"


class UnknownWorkloadError(CommandError):
    """The named workload is not in the configuration."""

    code = "unknown-workload"
    default_advice = (
        "Use a name from the `workloads:` section; `webhook-launcher status` lists them."
    )


class NoPreviousReleaseError(CommandError):
    """A rollback was asked for and there is nothing to return to."""

    code = "no-previous-release"
    default_advice = "Deploy a reference by name instead: `webhook-launcher deploy W REFERENCE`."


class CommandNotFoundError(CommandError):
    """A program that is to be run is not there, or cannot be executed."""

    code = "command-not-found"
    default_advice = "Install it, or write its full path; it must be executable by the launcher."


class CommandTimeoutError(CommandError):
    """A program did not end in its time and was ended; `output` is what it had said, bounded."""

    code = "command-timeout"
    retryable = True
    default_advice = "Run it by hand to see what it waits for, or give it a longer time limit."

    def __init__(self, happened: str, *, output: str = "", advice: str | None = None) -> None:
        super().__init__(happened, advice=advice)
        self.output = output


class NotAdoptableError(CommandError):
    """Containers run that were not deployed by us and could not be brought back."""

    code = "not-adoptable"
    default_advice = (
        "Check `image` and `compose.services`; to replace what runs all the same, order it: "
        "`webhook-launcher deploy W REFERENCE`."
    )


class TrackError(CommandError):
    """The workload's `track` leads to no reference: no such tag, or a file or command failed."""

    code = "track-failed"
    retryable = True
    default_advice = "Run the command by hand: it must print [registry/]repository:tag and exit 0."


class HookError(CommandError):
    """A configured `hooks` command failed or ran out of time."""

    code = "hook-failed"
    default_advice = "Run the hook by hand: it must exit with 0 within `hooks.timeout`."


class EventError(LauncherError):
    """A delivery that cannot be used; the sender must act."""

    code = "event"


class AuthenticationError(EventError):
    """The delivery did not prove where it comes from. Never says what would have matched."""

    code = "authentication"
    default_advice = (
        "Compare the secret at the sender with the one configured for this source, "
        "and the clocks of both if the scheme signs a time."
    )


class MalformedEventError(EventError):
    """The delivery is authentic and cannot be read, or contradicts itself."""

    code = "malformed-event"
    default_advice = (
        "Check that the sender posts the event kind that this source is configured for."
    )


class UnreadableBodyError(MalformedEventError):
    """The body is not one strict JSON value: 400 for every sender."""

    code = "unreadable-body"


class ContradictionError(MalformedEventError):
    """Two fields of one delivery disagree; which of them lies cannot be known."""

    code = "contradictory-event"
    default_advice = "Nothing was done; if the sender is genuine, tell its makers of this payload."


class OutOfScopeError(EventError):
    """The event is readable and names what it may not, or cannot, name."""

    code = "out-of-scope"
    default_advice = (
        "Check the workload's `image` and the source's `workloads` in the configuration."
    )


class VerificationError(LauncherError):
    """The image may not run; trying again cannot change that, unless the error says so."""

    code = "verification"


class InvalidReferenceError(VerificationError):
    """Text that is not a reference or digest of the OCI grammar."""

    code = "invalid-reference"
    default_advice = "Write it as [registry/]repository[:tag][@sha256:<64 hex digits>]."


class DigestMismatchError(VerificationError):
    """Bytes, a header or a container do not have the digest that was asked for."""

    code = "digest-mismatch"
    default_advice = (
        "Something between the publisher and this host serves other bytes; nothing was run."
    )


class UnsupportedManifestError(VerificationError):
    """The registry's document is not an image this engine can run."""

    code = "unsupported-manifest"
    default_advice = "Push an image manifest or index for this engine's platform."


class PolicyRefusedError(VerificationError):
    """A policy of the workload refused the image."""

    code = "policy-refused"

    def __init__(self, policy: str, happened: str, *, advice: str | None = None) -> None:
        super().__init__(happened, advice=advice)
        self.policy = policy


class NotRipeError(PolicyRefusedError):
    """The image may not run yet; from `until` on this policy will hold."""

    code = "too-young"
    retryable = True
    default_advice = (
        "It is deployed by itself then. A signed deploy event whose key may override the policy "
        "deploys it now."
    )

    def __init__(self, policy: str, happened: str, *, until: datetime) -> None:
        super().__init__(policy, happened)
        self.until = until


class NotTogetherYetError(PolicyRefusedError):
    """The images of one workload are not of one build; the other push may be under way."""

    code = "not-together-yet"
    retryable = True
    max_attempts = 10
    default_advice = "Push all images of the release with the same value in that label."


class NotSignedYetError(PolicyRefusedError):
    """No signature that counts is there; one may follow within minutes of the push."""

    code = "not-signed-yet"
    retryable = True
    max_attempts = 10
    default_advice = "Sign the digest (`cosign sign`), then push or check again."


class RegistryError(LauncherError):
    """The registry's answer cannot be used."""

    code = "registry"


class RegistryDeniedError(RegistryError):
    """401 or 403: no credentials, wrong ones, or no right to pull."""

    code = "registry-denied"
    default_advice = (
        "Give the registry's credentials under `registries:` or log in with `docker login` "
        "as the user that runs the launcher."
    )


class ManifestNotFoundError(RegistryError):
    """404: the tag or digest is not there (or is not visible yet)."""

    code = "manifest-not-found"
    default_advice = (
        "Check that the push finished and that the repository and tag are spelled right."
    )


class RegistryUnavailableError(RegistryError):
    """Refused, timed out, or 5xx; worth another try after `retry_after` seconds if given."""

    code = "registry-unavailable"
    retryable = True
    default_advice = "The running release stays; the launcher tries again by itself."

    def __init__(
        self, happened: str, *, retry_after: float | None = None, advice: str | None = None
    ) -> None:
        super().__init__(happened, advice=advice)
        self.retry_after = retry_after


class RateLimitedError(RegistryUnavailableError):
    """429: too many requests."""

    code = "rate-limited"
    default_advice = "Log in to the registry for a higher limit, or poll less often (`poll.every`)."


class EngineError(LauncherError):
    """Docker, Compose or the workload on this host."""

    code = "engine"


class EngineUnavailableError(EngineError):
    """The engine does not answer on its socket."""

    code = "engine-unavailable"
    retryable = True
    default_advice = "Check that the Docker Engine runs and that this user may use its socket."


class PullError(EngineError):
    """The engine could not pull the admitted digest; nothing was touched."""

    code = "pull-failed"
    retryable = True
    default_advice = "Check the engine's free disk space and its own access to the registry."


class ComposeError(EngineError):
    """Compose refused or failed; `output` is what it printed, bounded.

    `untouched` is set where the former release was seen to run on, whole; `unreadable` where
    Compose cannot read the project's files.
    """

    code = "compose-failed"
    default_advice = "The deployment's `output` has the command and all that compose said."

    def __init__(self, happened: str, *, output: str = "", advice: str | None = None) -> None:
        super().__init__(happened, advice=advice)
        self.output = output
        self.untouched = False
        self.unreadable = False


class StartRefusedError(EngineError):
    """Compose did not start a release; it is asked once more before the image is blamed.

    `restored` says that the release before it runs again.
    """

    code = "start-refused"
    retryable = True
    default_advice = (
        "It is tried once more by itself. `history --json` has all that compose said (`output`)."
    )

    def __init__(self, happened: str, *, restored: bool) -> None:
        super().__init__(happened)
        self.restored = restored


class NotJudgedError(EngineError):
    """A release failed, and nothing can be said of its image: the launcher tries again.

    `restored` says whether the release before it runs; None where there is none. `tries` is how
    often its intent came to this, apart from what else it waited for; None where nothing was begun.
    """

    code = "not-judged"
    retryable = True
    # The pause doubles from 10 s to 5 min: some 25 minutes, then the poll takes over.
    max_attempts = 10
    default_advice = (
        "The launcher tries it again by itself. `history --json` has the probe output, the "
        "container's log and Compose's output (`output`)."
    )

    def __init__(self, happened: str, *, restored: bool | None, tries: int | None = None) -> None:
        super().__init__(happened)
        self.restored = restored
        self.tries = tries


class SupersededError(EngineError):
    """A newer intent ended the wait for a release; `newer` is its id."""

    code = "superseded"

    def __init__(self, happened: str, *, newer: str) -> None:
        super().__init__(happened)
        self.newer = newer


class ProjectBusyError(EngineError):
    """A compose command that outlived its launcher still works on the project."""

    code = "project-busy"
    retryable = True
    default_advice = "It is waited for; if it hangs, end the `docker-compose … up` of that project."


class UnhealthyWorkloadError(EngineError):
    """The new release did not become healthy, or is not the image it should be."""

    code = "unhealthy"
    default_advice = "Read the container's log kept with this deployment; push a newer image."

    def __init__(
        self,
        happened: str,
        *,
        output: str = "",
        advice: str | None = None,
        disturbed: bool = False,
        inconclusive: bool = False,
    ) -> None:
        super().__init__(happened, advice=advice)
        self.output = output
        self.disturbed = disturbed
        self.inconclusive = inconclusive

    @property
    def judges(self) -> bool:
        """Return True when the failure says something about the image.

        It says nothing when another actor removed, stopped or replaced a container (`disturbed`),
        or when the engine had not come to its own verdict in time (`inconclusive`).
        """
        return not (self.disturbed or self.inconclusive)


class JournalError(LauncherError):
    """The journal cannot be read or written."""

    code = "journal"
    default_advice = "Check free space and permissions of the `state` directory."


class JournalDamagedError(JournalError):
    """The journal's file is damaged; the launcher starts anew and moves it aside."""

    code = "journal-damaged"
    retryable = True
    default_advice = (
        "Check the disk. The file is kept in the `state` directory as journal.sqlite3.corrupt-…."
    )


class JournalTooNewError(JournalError):
    """A newer version of the launcher wrote the journal; nothing was changed."""

    code = "journal-too-new"

    def __init__(self, found: int, newest: int, *, advice: str | None = None) -> None:
        super().__init__(
            f"the journal has schema {found}, and this version reads schemas up to {newest}",
            advice=advice,
        )


class StateLockedError(JournalError):
    """Another launcher holds the state directory."""

    code = "state-locked"
    default_advice = "End the other launcher, or give this one another `state` directory."


class QueueFullError(JournalError):
    """As many intents wait as `limits.pending` allows; nothing was written."""

    code = "queue-full"
    retryable = True
    default_advice = "Send it again later; `webhook-launcher status` shows what is waiting."


class SigningKeyError(JournalError):
    """The key in the state directory that signs receipts cannot be read or made."""

    code = "signing-key"
    default_advice = (
        "Bring `receipts.key` back from a backup, or move it aside: then another key is made, and "
        "`receipts verify` needs the public half of both."
    )


class BrokenChainError(JournalError):
    """The first place at which a chain of receipts does not hold.

    `sequence` is where a receipt was expected, `deployment` what the one found there claims.
    """

    code = "broken-chain"
    default_advice = (
        "Receipts before this one hold. Compare with an export, or with a head, noted elsewhere."
    )

    def __init__(
        self,
        sequence: int,
        what: str,
        deployment: str | None = None,
        *,
        advice: str | None = None,
    ) -> None:
        of = f" (deployment {deployment})" if deployment else ""
        super().__init__(f"receipt {sequence}{of}: {what}", advice=advice)
        self.sequence = sequence
        self.what = what
        self.deployment = deployment
