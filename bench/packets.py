#!/usr/bin/env python3
"""Sees what goes out of a device: `packets.py DEVICE BYTES` prints, ten times a second, how many packets
of at least so many bytes have gone, and when the last one did (CLOCK_MONOTONIC, in seconds)."""
import json
import socket
import sys
import time

ALL_PROTOCOLS = 0x0003  # ETH_P_ALL of linux/if_ether.h
EVERY_SECONDS = 0.1


def main():
    device, least = sys.argv[1], int(sys.argv[2])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as tap:
        tap.bind((device, 0))
        tap.settimeout(EVERY_SECONDS)
        watch(tap, least)


def watch(tap, least):
    packets, last, due = 0, None, 0.0
    while True:
        try:
            packet, (_, _, kind, *_) = tap.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING and len(packet) >= least:
                packets, last = packets + 1, time.monotonic()
        except TimeoutError:
            pass
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY_SECONDS
            print(json.dumps({"event": "seen", "packets": packets, "last": last}), flush=True)


main()
