"""What a person does on a line while we seed over it: a download, an upload, and a call.

usage: line.py server PORT                      the other end: TCP and UDP
       line.py use ADDRESS PORT SECONDS WARM WHAT    WHAT: down, up or nothing; prints JSON

Bytes are counted where they arrive, without the first WARM seconds. The call is a UDP packet
every 20 ms that comes back; its round-trip times are told as quantiles.
"""
import json
import socket
import statistics
import sys
import threading
import time

BLOCK = bytes(1 << 16)
PING_EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 30


def server(port):
    with socket.create_server(("0.0.0.0", port)) as listener:
        threading.Thread(target=echo, args=(port,), daemon=True).start()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def echo(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", port))
        while True:
            packet, sender = sock.recvfrom(2048)
            sock.sendto(packet, sender)


def serve(connection):
    """The first byte says which way: `d` sends for ever, `u` takes for ever."""
    with connection:
        try:
            if connection.recv(1) == b"d":
                while True:
                    connection.sendall(BLOCK)
            while received := len(connection.recv(1 << 16)):
                counted(received)
        except OSError:
            pass


UPLOADED = []


def counted(received):
    """Tells now and then how much an upload has brought."""
    UPLOADED.append(received)
    now = time.monotonic()
    if now - counted.told > 0.1:
        counted.told = now
        print(json.dumps({"at": now, "uploaded": sum(UPLOADED)}), flush=True)


counted.told = 0.0


def use(address, port, seconds, warm, what):
    begin = time.monotonic()
    begin, end = begin + warm, begin + seconds
    arrived, trips = [0], []
    calls = threading.Thread(target=call, args=(address, port, begin, end, trips))
    calls.start()
    if what == "down":
        download(address, port, begin, end, arrived)
    elif what == "up":
        upload(address, port, end)
    calls.join()
    quantiles = statistics.quantiles(trips, n=100) if len(trips) > 1 else [None] * 99
    print(json.dumps({"begin": begin, "end": end, "bytes": arrived[0], "ms": quantiles[49],
                      "ms_p95": quantiles[94], "lost": call.sent - call.answered}), flush=True)


def download(address, port, begin, end, arrived):
    with socket.create_connection((address, port), PATIENCE_SECONDS) as connection:
        connection.sendall(b"d")
        while (now := time.monotonic()) < end:
            received = len(connection.recv(1 << 16))
            arrived[0] += received if now >= begin else 0


def upload(address, port, end):
    with socket.create_connection((address, port), PATIENCE_SECONDS) as connection:
        connection.sendall(b"u")
        connection.settimeout(0.1)
        while time.monotonic() < end:
            try:
                connection.send(BLOCK)
            except TimeoutError:
                pass
        # What waits in the kernel is not sent any more.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def call(address, port, begin, end, trips):
    call.sent = call.answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        listening = threading.Thread(target=hear, args=(sock, begin, trips))
        listening.start()
        at = time.monotonic()
        while at < end:
            time.sleep(max(0.0, at - time.monotonic()))
            sock.sendto(repr(time.monotonic()).encode(), (address, port))
            call.sent += 1
            at += PING_EVERY_SECONDS
        listening.join()


def hear(sock, begin, trips):
    while True:
        try:
            packet = sock.recv(2048)
        except TimeoutError:
            return
        call.answered += 1
        sent = float(packet)
        if sent >= begin:
            trips.append((time.monotonic() - sent) * 1000)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(int(sys.argv[2]))
    else:
        use(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
