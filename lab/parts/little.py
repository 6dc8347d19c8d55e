"""A few lines of network to try the world itself with, without Peerlift.

usage: little.py echo PORT
       little.py time ADDRESS PORT           round trip in ms, best of five
       little.py rendezvous PORT             tells two callers each other's outside address
       little.py punch ADDRESS PORT NAME     meets the other one at a rendezvous, then directly
       little.py send ADDRESS PORT BYTES
       little.py sink PORT
"""
import socket
import sys
import time

PATIENCE_SECONDS = 5
TRIES = 20


def echo(port):
    sock = udp(int(port))
    print("ready", flush=True)
    while True:
        data, sender = sock.recvfrom(2048)
        sock.sendto(data, sender)


def time_round_trip(address, port):
    sock = udp(0)
    sock.settimeout(1)
    best = None
    for number in range(5):
        begin = time.monotonic()
        sock.sendto(bytes([number]), (address, int(port)))
        try:
            sock.recvfrom(2048)
        except TimeoutError:
            continue
        took = time.monotonic() - begin
        best = took if best is None else min(best, took)
    if best is None:
        sys.exit("no answer")
    print(best * 1000)


def rendezvous(port):
    sock = udp(int(port))
    print("ready", flush=True)
    seen = {}
    while True:
        name, sender = sock.recvfrom(2048)
        seen[name] = sender
        for other, (address, its_port) in seen.items():
            if other != name:
                sock.sendto(f"{address} {its_port}".encode(), sender)


def punch(address, port, name):
    """Both send to each other's outside address until one hears the other."""
    sock = udp(0)
    sock.settimeout(0.1)
    server, partner = (address, int(port)), None
    heard = False
    for _ in range(TRIES):
        sock.sendto(name.encode(), server)
        if partner:
            sock.sendto(b"hello", partner)
        try:
            while True:
                data, sender = sock.recvfrom(2048)
                if sender == server:
                    where, its_port = data.decode().split()
                    partner = (where, int(its_port))
                elif sender == partner or data == b"hello":
                    heard = True
        except TimeoutError:
            pass
    print("direct" if heard else "nothing")


def send(address, port, size):
    left = int(size)
    block = bytes(1 << 16)
    with socket.create_connection((address, int(port)), PATIENCE_SECONDS) as sock:
        while left > 0:
            left -= sock.send(block[:left])
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(60)
        sock.recv(1)


def sink(port):
    with socket.create_server(("0.0.0.0", int(port))) as server:
        print("ready", flush=True)
        sock, _ = server.accept()
        begin = time.monotonic()
        while sock.recv(1 << 20):
            pass
        sock.close()
        print(time.monotonic() - begin)


def udp(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", port))
    return sock


COMMANDS = {"echo": echo, "time": time_round_trip, "rendezvous": rendezvous, "punch": punch,
            "send": send, "sink": sink}
COMMANDS[sys.argv[1]](*sys.argv[2:])
