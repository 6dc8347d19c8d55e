"""A Debian system in a folder, fresh for each use, to install packages into.

The base is made once by debootstrap and kept; every use gets a copy that vanishes with it. Programs
run in it by chroot, with /proc mounted and a /dev/log of ours that hears what is told to the system log.
"""
import hashlib
import os
import platform
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

# What dpkg and its helpers write about themselves, whatever is installed or removed.
BOOKKEEPING = ("var/lib/dpkg/", "var/log/dpkg.log", "var/log/apt/", "var/log/alternatives.log",
               "var/cache/ldconfig/", "var/cache/debconf/", "proc/", "dev/", "sys/")
TIMELESS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
            "DEBIAN_FRONTEND": "noninteractive"}


class CannotBeHad(Exception):
    """Why there is no clean root on this machine."""


def base(folder):
    """The kept base: the release of this machine, since its programs need its libraries."""
    release = platform.freedesktop_os_release()
    suite = release.get("VERSION_CODENAME")
    if os.geteuid() != 0:
        raise CannotBeHad("chroot needs root")
    if release.get("ID") != "debian" or not suite:
        raise CannotBeHad("this machine is not Debian, whose libraries the program was built with")
    if not shutil.which("debootstrap"):
        raise CannotBeHad("debootstrap is not installed")
    kept = folder / f"{suite}-systemd-nftables"
    if kept.is_dir():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=folder))
    made = subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd-sysv,nftables", suite,
                           making / "root"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        shutil.rmtree(making)
        raise CannotBeHad("debootstrap failed: " + " / ".join(made.stdout.splitlines()[-3:]))
    (making / "root").rename(kept)  # a base is whole or absent
    making.rmdir()
    return kept


class CleanRoot:
    """Use as a context manager."""

    def __init__(self, kept):
        self._folder = Path(tempfile.mkdtemp(prefix="peerlift-root-"))
        self.path = self._folder / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", kept, self.path], check=True)
        self._log = None
        self._digests = {}

    def __enter__(self):
        subprocess.run(["mount", "-t", "proc", "proc", self.path / "proc"], check=True)
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self.path / "dev/log"))
        self._log.setblocking(False)
        return self

    def __exit__(self, *_):
        self.detach()
        shutil.rmtree(self._folder)

    def detach(self):
        """Takes this machine's processes and the log out of it; nothing can be run in it then."""
        if self._log:
            self._log.close()
            self._log = None
            subprocess.run(["umount", self.path / "proc"], check=True)

    def run(self, *argv):
        """Runs a command in the root: its exit code, and what it printed on both outputs."""
        done = subprocess.run(["chroot", self.path, *map(str, argv)], env=TIMELESS, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def told(self):
        """What the system log was told since the last call, a line each."""
        lines = []
        while True:
            try:
                lines.append(self._log.recv(65536).decode(errors="replace"))
            except BlockingIOError:
                return lines

    def files(self):
        """Every file, folder, link and device: kind and mode, owner, and what it holds."""
        found = {}
        for folder, folders, names in os.walk(self.path):
            for name in [*folders, *names]:
                path = Path(folder, name)
                place = str(path.relative_to(self.path))
                if not f"{place}/".startswith(BOOKKEEPING):
                    found[place] = self._describe(path)
        return found

    def _describe(self, path):
        info = path.lstat()
        holds = ""
        if stat.S_ISLNK(info.st_mode):
            holds = os.readlink(path)
        elif stat.S_ISREG(info.st_mode):
            holds = self._digest(path, info)
        return oct(info.st_mode), info.st_uid, info.st_gid, holds

    def _digest(self, path, info):
        """Read again only when the inode says that it was touched; nobody can set its ctime."""
        touched = info.st_ino, info.st_ctime_ns, info.st_size
        if touched not in self._digests:
            self._digests[touched] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._digests[touched]

    def packages(self):
        """What dpkg knows of, in any state."""
        return self.run("dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n")[1]

    def processes(self):
        """Those that run in this root."""
        running = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if Path(os.readlink(entry / "root")) == self.path:
                    running.append(entry.name)
            except OSError:  # it has ended, or is the kernel's
                continue
        return running

