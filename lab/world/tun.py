"""Runs a program with a new TUN device as its standard input.

usage: python3 tun.py DEVICE PROGRAM [ARGUMENT]...

The device belongs to the network namespace it is opened in. Opening it here keeps privileges
and system calls without a safe wrapper out of the program.
"""
import fcntl
import os
import struct
import sys

# linux/if_tun.h
TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
CHECKSUM, TSO4, TSO6, TSO_ECN, USO4, USO6 = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40


def main():
    device, *program = sys.argv[1:]
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    segments = CHECKSUM | TSO4 | TSO6 | TSO_ECN
    try:
        fcntl.ioctl(tun, TUNSETOFFLOAD, segments | USO4 | USO6)
    except OSError:  # Linux before 6.2 has no USO
        fcntl.ioctl(tun, TUNSETOFFLOAD, segments)
    os.dup2(tun, 0)
    os.execv(program[0], program)


main()
