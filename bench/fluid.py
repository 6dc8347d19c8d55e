"""The fluid limit: how early the last download can end, whatever the protocol.

Bytes are a fluid. Until time t the copies that have arrived weigh no more than what all downlinks
could take in, nor than what all uplinks, the edge's among them, could give out; and nobody is
done before a whole copy went through its own downlink. Headers are not deducted: TCP/IP over
Ethernet carries 1448 bytes of content in a packet of 1514, so 1.05 of the limit is perfect.

Where peers die, that limit is one for who knows beforehand who will: nothing is given to the doomed.
Who does not know gives a peer that will die as much, on average over who it is, as any other, and
what it had is lost with it: `last_completion_blind` takes that off.
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


def last_completion_blind(size, edge_up, down, up, stays):
    """The same for protocols that cannot know which peers will die, on average over who dies."""
    copy = size * 8 / BITS_PER_MBIT
    doomed = [stay for stay in stays if stay.end != float("inf")]
    lost = sum(min(copy, carried_by(stay.end, edge_up, down, up, stays) / len(stays))
               for stay in doomed)
    demand = copy * (len(stays) - len(doomed)) + lost
    return max(last_completion(size, edge_up, down, up, stays),
               supplied_at(demand, edge_up, down, up, stays))


def carried_by(moment, edge_up, down, up, stays):
    """How many Mbit the lines of those who are there carry until then."""
    return sum(rate * (min(end, moment) - begin)
               for begin, end, rate in stretches(edge_up, down, up, stays) if begin < moment)


def stretches(edge_up, down, up, stays):
    """The times between comings and deaths, and what the lines carry in each, in Mbit/s."""
    changes = sorted({moment for stay in stays for moment in (stay.begin, stay.end)})
    for begin, end in zip(changes, changes[1:]):
        present = sum(stay.begin <= begin < stay.end for stay in stays)
        yield begin, end, min(present * down, edge_up + present * up)


def supplied_at(demand, edge_up, down, up, stays):
    """When the uplinks and downlinks that are there have carried so many Mbit."""
    carried = 0.0
    for begin, end, rate in stretches(edge_up, down, up, stays):
        if rate * (end - begin) >= demand - carried:
            return begin + (demand - carried) / rate
        carried += rate * (end - begin)
    return float("inf")
