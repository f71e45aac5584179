"""Who may send to the node: a TOML file of AE titles with their addresses."""

from __future__ import annotations

import ipaddress
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgg_demo.dicom.archive import DicomError

_KEYS = {"aet", "address"}


@dataclass(frozen=True)
class Peers:
    """AE titles, each with an address, a network (10.0.0.0/24) or the name of a host."""

    allowed: tuple[tuple[str, str], ...]

    def admits(self, address: str) -> bool:
        """Whether any of them calls from an IP address."""
        return any(_matches(own, address) for _, own in self.allowed)

    def admit(self, aet: str, address: str) -> bool:
        """Whether one of them has this AE title and calls from this IP address."""
        return any(own == aet.strip() and _matches(place, address) for own, place in self.allowed)


def read_peers(file: Path) -> Peers:
    """The file's `[[peer]]` tables with their `aet` and `address`. Raises DicomError."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DicomError("dicom_peers_unread", file=str(file)) from error
    except ValueError as error:
        raise DicomError("dicom_peers_toml", file=str(file), reason=str(error)) from error
    peers = tables.get("peer")
    if set(tables) != {"peer"} or not isinstance(peers, list) or not all(_is_peer(peer) for peer in peers):
        raise DicomError("dicom_peers_form", file=str(file))
    return Peers(tuple((peer["aet"].strip(), peer["address"].strip()) for peer in peers))


def _is_peer(table: Any) -> bool:
    if not isinstance(table, dict) or set(table) != _KEYS or not all(isinstance(v, str) and v for v in table.values()):
        return False
    return 0 < len(table["aet"].strip()) <= 16 and ("/" not in table["address"] or _network(table["address"]) is not None)


def _network(place: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(place, strict=False)
    except ValueError:
        return None


def _matches(place: str, address: str) -> bool:
    """Whether an IP address is the place, in it, or what its name stands for now."""
    own = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(own, ipaddress.IPv6Address) and own.ipv4_mapped:
        own = own.ipv4_mapped
    network = _network(place)
    if network is not None:
        return own in network
    try:
        named = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(place, None)}
    except OSError:
        return False
    return own in map(ipaddress.ip_address, named)
