"""The fluid limit: how early the last download can end, whatever the protocol.

Bytes are a fluid. Until time t the copies that have arrived weigh no more than what all downlinks
could take in, nor than what all uplinks, the edge's among them, could give out; and nobody is
done before a whole copy went through its own downlink. Headers are not deducted: TCP/IP over
Ethernet carries 1448 bytes of content in a packet of 1514, so 1.05 of the limit is perfect.
"""
from dataclasses import dataclass

BITS_PER_MBIT = 1e6


@dataclass(frozen=True)
class Stay:
    """When a peer is there, in seconds; `end` is infinite for one that stays."""
    begin: float
    end: float = float("inf")


def last_completion(size, edge_up, down, up, stays):
    """The earliest time at which all peers that stay can have the file. Rates in Mbit/s."""
    copy = size * 8 / BITS_PER_MBIT
    finishers = [stay for stay in stays if stay.end == float("inf")]
    alone = max(stay.begin for stay in finishers) + copy / down
    return max(alone, supplied_at(copy * len(finishers), edge_up, down, up, stays))


def supplied_at(demand, edge_up, down, up, stays):
    """When the uplinks and downlinks that are there have carried so many Mbit."""
    changes = sorted({moment for stay in stays for moment in (stay.begin, stay.end)})
    carried = 0.0
    for begin, end in zip(changes, changes[1:]):
        present = sum(stay.begin <= begin < stay.end for stay in stays)
        rate = min(present * down, edge_up + present * up)
        if rate * (end - begin) >= demand - carried:
            return begin + (demand - carried) / rate
        carried += rate * (end - begin)
    return float("inf")
