"""Images of former releases on a real engine: what goes, and above all what does not."""

import subprocess

import pytest

from testbed.images import Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.adapters.engine.keep import keep_tag
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import Repository

pytestmark = pytest.mark.engine


class Site:
    """A workload `web` of project `shop` that ran several releases of a repository of its own."""

    def __init__(self, host: Host, registry: TestRegistry, repository: str) -> None:
        self.host = host
        self.name = repository.rpartition("/")[2]
        self.releases = [
            registry.push(repository, "x", Recipe(f"{repository} {number}")) for number in range(3)
        ]

    @property
    def repository(self) -> Repository:
        """Of the releases."""
        return self.releases[0].reference.repository

    def pull(self, release: Image) -> None:
        """As the launcher does."""
        if self.host.engine.pull(release):
            self.host.engine.keep_pulled(release, "shop", self.name)

    def remove_former(self, *kept: Image, workload: str | None = None) -> list[str]:
        """After a success."""
        digests = {image.digest for image in kept}
        name = workload or self.name
        return self.host.engine.remove_former("shop", name, self.repository, digests)

    def has(self, release: Image) -> bool:
        """By its digest, which is how it would be run again."""
        found = subprocess.run(
            ["docker", "image", "inspect", release.pinned],
            env=dict(self.host.environment),
            capture_output=True,
            check=False,
        )
        return found.returncode == 0


@pytest.fixture
def site(host: Host, registry: TestRegistry, repository: str) -> Site:
    """Three releases, pulled for the workload."""
    made = Site(host, registry, repository)
    for release in made.releases:
        made.pull(release)
    return made


def test_a_former_release_goes_with_its_tags(site: Site) -> None:
    """And not only its name: the engine must not keep the layers under a mark of ours."""
    old, previous, current = site.releases
    assert site.remove_former(current, previous) == [old.pinned]
    assert [site.has(release) for release in site.releases] == [False, True, True]
    listed = site.host.docker("image", "ls", "--all", "--quiet", "--no-trunc").splitlines()
    assert old.ids.isdisjoint(listed)
    assert site.remove_former(current, previous) == []


def test_what_a_container_uses_stays_until_it_is_gone(site: Site) -> None:
    """Of whatever project, and a stopped one too: it may be started again."""
    old, previous, current = site.releases
    container = site.host.docker("create", old.pinned)
    assert site.remove_former(current, previous) == []
    assert site.has(old)
    site.host.docker("rm", container)
    assert site.remove_former(current, previous) == [old.pinned]


def test_what_somebody_tagged_stays(site: Site) -> None:
    """A tag says that somebody means to use it; removing by digest would take that tag's layers."""
    old, previous, current = site.releases
    tag = f"somebody/else:{site.name}"
    site.host.docker("tag", old.pinned, tag)
    assert site.remove_former(current, previous) == []
    assert site.has(old)
    site.host.docker("rmi", tag)
    assert site.remove_former(current, previous) == [old.pinned]


def test_what_another_workload_keeps_stays(site: Site) -> None:
    """Two workloads may run one image; it is the other one's release to return to."""
    old, previous, current = site.releases
    site.host.engine.keep(old, "other", site.name, "previous")
    assert site.remove_former(current, previous) == []
    assert site.has(old)
    site.host.docker("rmi", f"webhook-launcher/keep:{keep_tag('other', site.name, 'previous')}")
    assert site.remove_former(current, previous) == [old.pinned]


def test_what_was_pulled_for_another_workload_stays(site: Site) -> None:
    """Also when its name begins alike."""
    assert site.remove_former(workload=site.name[:-1]) == []
    assert all(site.has(release) for release in site.releases)


def test_what_was_here_before_stays(host: Host, registry: TestRegistry, repository: str) -> None:
    """Nobody asked us to remove what we did not bring."""
    site = Site(host, registry, repository)
    theirs = site.releases[0]
    host.docker("pull", "--quiet", theirs.pinned)
    for release in site.releases:
        site.pull(release)
    site.remove_former(*site.releases[1:])
    assert site.has(theirs)
    host.docker("rmi", theirs.pinned)


def test_a_removal_that_was_interrupted_is_finished(site: Site) -> None:
    """Killed between its two names: ours is the last, so the next time finds it."""
    old, previous, current = site.releases
    site.host.docker("rmi", old.pinned)
    site.remove_former(current, previous)
    listed = site.host.docker("image", "ls", "--all", "--quiet", "--no-trunc").splitlines()
    assert old.ids.isdisjoint(listed)
