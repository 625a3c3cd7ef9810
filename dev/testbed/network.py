"""Addresses and bridges of an engine that shares the machine with others.

The machine's own routes say which pools are taken: a bridge with an address from a pool claims it.
"""

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbed.cache import exclusive
from testbed.errors import MachineError

# Apart from the ranges engines use by themselves (172.17.0.0/12, 192.168.0.0/16).
POOLS = ipaddress.IPv4Network("10.192.0.0/10")
# One pool per engine, cut into networks of 62 addresses: 256 engines with 256 networks each.
POOL_PREFIX = 18
NETWORK_PREFIX = 26
LOCK = Path("/run/webhook-launcher-dev-network.lock")


def routed_networks(table: str) -> list[ipaddress.IPv4Network]:
    """Read `/proc/net/route`; the default route claims nothing."""
    found: list[ipaddress.IPv4Network] = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        address = ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(words[1]), "little"))
        mask = ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(words[7]), "little"))
        network = ipaddress.IPv4Network(f"{address}/{mask}", strict=False)
        if network.prefixlen > 0:
            found.append(network)
    return found


def free_pool(taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return the first pool that no route of the machine touches."""
    routes = list(taken)
    for pool in POOLS.subnets(new_prefix=POOL_PREFIX):
        if not any(pool.overlaps(route) for route in routes):
            return pool
    raise MachineError(
        f"no address pool is free in {POOLS}",
        "end other test engines: python3 dev/machine.py stop DIR",
    )


def claim_pool(bridge: str) -> ipaddress.IPv4Network:
    """Make `bridge` with the first address of a free pool, and return the pool."""
    with exclusive(LOCK, seconds=60):
        pool = free_pool(routed_networks(Path("/proc/net/route").read_text()))
        first = next(pool.subnets(new_prefix=NETWORK_PREFIX))
        _ip("link", "add", "name", bridge, "type", "bridge")
        _ip("address", "add", f"{first[1]}/{NETWORK_PREFIX}", "dev", bridge)
        _ip("link", "set", bridge, "up")
    return pool


def release_pool(bridge: str) -> None:
    """Remove `bridge` and every other bridge with an address of the pool it claims.

    Without the bridge nothing is removed: the pool may be another engine's by now.
    """
    listing = _ip("-json", "-details", "address", "show", "type", "bridge")
    for name in bridges_beside(bridge, listing):
        _ip("link", "delete", name)


def bridges_beside(bridge: str, listing: str) -> list[str]:
    """Return the bridges of `bridge`'s pool in `ip -json address show`, itself the last."""
    addresses = {
        link["ifname"]: ipaddress.IPv4Address(address["local"])
        for link in json.loads(listing or "[]")
        for address in link.get("addr_info", [])
        if address.get("family") == "inet"
    }
    if bridge not in addresses:
        return []
    pool = ipaddress.IPv4Network(f"{addresses[bridge]}/{POOL_PREFIX}", strict=False)
    beside = [name for name, own in addresses.items() if own in pool and name != bridge]
    return [*beside, bridge]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise MachineError(
            f"`ip {' '.join(words)}` failed: {done.stderr.strip()}",
            "an engine needs a kernel with bridges and the right to make them (root, or a "
            "privileged container)",
        )
    return done.stdout
