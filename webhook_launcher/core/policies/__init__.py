"""The policies that a workload's `policy:` list can name, one file each.

All are frozen values without I/O. What they judge by stands in the candidate's evidence; when that
was not looked for they refuse, since a question without an answer is not a yes.
"""

from webhook_launcher.core.policies.attested_by import AttestedBy
from webhook_launcher.core.policies.command import Command
from webhook_launcher.core.policies.labels import Labels
from webhook_launcher.core.policies.max_size import MaxSize
from webhook_launcher.core.policies.minimum_age import MinimumAge
from webhook_launcher.core.policies.no_downgrade import NoDowngrade
from webhook_launcher.core.policies.platform import OfPlatform
from webhook_launcher.core.policies.require_trust import RequireTrust
from webhook_launcher.core.policies.same_label import SameLabel
from webhook_launcher.core.policies.signed_by import SignedBy

__all__ = [
    "AttestedBy",
    "Command",
    "Labels",
    "MaxSize",
    "MinimumAge",
    "NoDowngrade",
    "OfPlatform",
    "RequireTrust",
    "SameLabel",
    "SignedBy",
]
