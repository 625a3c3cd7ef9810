"""The registry: which digest a reference has today, by bytes that we hashed ourselves.

Top to bottom, each file uses only those below it::

    client        which requests, in which order; 404 patience
    attachments   signatures and attestations, unjudged
    blobs         blobs, hashed; where redirects of them may lead
    exchange      one question, asked as who we are there
    outage        who let us wait in vain is left alone for a while
    access        who we are: challenges answered, tokens kept until they expire
    manifest      a manifest's bytes -> Index or Manifest      platform   which entry is ours
    paging        where the next page of a list is
    document      what both are made of, read strictly
    refusals      a status code -> the error that says who must act
    transport     one request, one bounded answer              connection  its time and size
    challenge     WWW-Authenticate      realm  may credentials go there?
    settings      how each registry is spoken to
    credentials   docker's config.json and credential helpers (used by nobody here: passed in)
"""

from webhook_launcher.adapters.registry.client import RegistryClient
from webhook_launcher.adapters.registry.credentials import DockerCredentials
from webhook_launcher.adapters.registry.settings import Credential, RegistrySettings, Timeouts

__all__ = ["Credential", "DockerCredentials", "RegistryClient", "RegistrySettings", "Timeouts"]
