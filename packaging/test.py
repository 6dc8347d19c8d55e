#!/usr/bin/env python3
"""Installs, upgrades, downgrades, removes and purges the Debian package in a clean Debian root.

    packaging/test.py [PACKAGE]     the package, else it is made from target/release/peerlift

The last line is `N passed, N failed`. Where a clean root cannot be had it says so: `1 skipped: …`.
"""
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from booted import boot
from clean_root import CannotBeHad, CleanRoot, base

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Of 10: systemd's own rating of how much a service may do. Sandboxed ones are below 2.
EXPOSURE_MAX = 2.0
# What `systemctl enable` and a service leave behind: folders of a dynamic user, and links.
LEFT_BY_SERVICES = ["var/lib/private/peerlift-serve/iso/peerlift/publisher.key",
                    "var/lib/private/peerlift-serve/iso/files/os.iso",
                    "var/cache/private/peerlift-serve/iso/scratch",
                    "etc/peerlift/serve-iso.env"]
ENABLED = "etc/systemd/system/multi-user.target.wants/peerlift-serve@iso.service"


def main():
    os.chdir(ROOT)
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else make_package()
    try:
        kept = base(TARGET / "debian-roots")
    except CannotBeHad as reason:
        print(f"1 skipped: no clean Debian root: {reason}")
        print("0 passed, 0 failed")
        return 0
    passed = failed = 0
    for test in TESTS:
        with tempfile.TemporaryDirectory() as scratch, CleanRoot(kept) as root:
            problem = attempt(test, Package(package, Path(scratch)), root)
        print(f"{'FAIL' if problem else 'ok':4}  {test.__name__.replace('_', ' ')}", flush=True)
        if problem:
            print(problem)
        passed, failed = (passed, failed + 1) if problem else (passed + 1, failed)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def attempt(test, package, root):
    """What was not as expected, or None."""
    try:
        test(package, root)
    except NotAsExpected as problem:
        return f"      {problem}"
    return None


def make_package():
    """From the release program."""
    subprocess.run(["scripts/deb", "--fast", "--output", TARGET / "debian-test"], check=True)
    return max((TARGET / "debian-test").glob("peerlift_*.deb"), key=lambda path: path.stat().st_mtime)


class NotAsExpected(Exception):
    """A check failed."""


def check(truth, claim):
    if not truth:
        raise NotAsExpected(claim)


class Package:
    """The package under test, and copies of it under other versions."""

    def __init__(self, path, scratch):
        self.path, self._scratch = path, scratch
        self.version = field(path, "Version")

    def as_version(self, version):
        """The same content with another number on it."""
        tree = self._scratch / "tree"
        renamed = self._scratch / f"peerlift_{version}.deb"
        subprocess.run(["dpkg-deb", "-R", self.path, tree], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace(f"Version: {self.version}\n",
                                                       f"Version: {version}\n"))
        subprocess.run(["dpkg-deb", "-Znone", "-b", tree, renamed], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
        return renamed


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def dpkg(root, *arguments):
    code, output = root.run("dpkg", *arguments)
    check(code == 0, f"dpkg {' '.join(map(str, arguments))}: exit code {code}: {output}")
    return output


def install(root, package):
    """Installs a package file, which is not in the root afterwards."""
    inside = root.path / "tmp/peerlift.deb"
    shutil.copy(package, inside)
    dpkg(root, "-i", "/tmp/peerlift.deb")
    inside.unlink()


def expect_told(root, *words):
    """The system log has one line of ours with these words."""
    lines = [line for line in root.told() if " peerlift: " in line]
    check(len(lines) == 1 and all(word in lines[0] for word in words),
          f"the system log was told {lines}, not one line with {words}")


def expect_version(root, version):
    have = root.run("dpkg-query", "-W", "-f", "${Version} ${Status}", "peerlift")[1]
    check(have == f"{version} install ok installed", f"installed is {have}, not {version}")
    code, output = root.run("peerlift", "--version")
    check(code == 0 and output.startswith("peerlift "), f"--version: {code} {output}")


def expect_nothing_started(root):
    check(not root.processes(), f"processes {root.processes()} run after dpkg has ended")
    enabled = [place for place in root.files() if place.startswith("etc/systemd/")
               and "peerlift" in place]
    check(not enabled, f"enabled without being asked: {enabled}")


def expect_same(before, root, allowed=()):
    """The file system is as it was, but for what is allowed."""
    now = root.files()
    changed = sorted(place for place in before.keys() | now.keys()
                     if before.get(place) != now.get(place) and place not in allowed)
    check(not changed, f"left, lost or changed: {changed}")


# -- the tests

def carries_what_people_look_for(package, root):
    before = root.files()
    install(root, package.path)
    expect_version(root, package.version)
    new = {place: what for place, what in root.files().items() if before.get(place) != what}
    documents = "usr/share/doc/peerlift/"
    for place in ["usr/bin/peerlift", "usr/share/man/man1/peerlift.1.gz",
                  "usr/share/man/man1/peerlift-get.1.gz", f"{documents}README.txt",
                  f"{documents}copyright", f"{documents}changelog.gz", f"{documents}sbom.cdx.json",
                  f"{documents}THIRD-PARTY.txt.gz", "usr/lib/systemd/system/peerlift-serve@.service",
                  "usr/lib/systemd/user/peerlift.service", "usr/lib/systemd/user/peerlift.socket",
                  "usr/lib/systemd/system/peerlift-control.service",
                  "usr/share/bash-completion/completions/peerlift"]:
        check(place in new, f"{place} is missing")
    for place, (mode, owner, group, _) in new.items():
        check((owner, group) == (0, 0), f"{place} belongs to {owner}:{group}")
        check(int(mode, 8) & 0o7022 == 0, f"{place} has mode {mode}")
    for page in (root.path / "usr/share/man/man1").glob("peerlift*"):
        check(b".TH" in gzip.decompress(page.read_bytes()), f"{page.name} is no manual page")
    # Changed files of others would be a surprise; new folders are ours.
    surprise = [place for place in new if place in before]
    check(not surprise, f"changed what was there: {surprise}")


def comes_and_goes(package, root):
    """Installed, upgraded, downgraded, removed, purged: nothing stays."""
    before, packages = root.files(), root.packages()
    root.told()
    install(root, package.path)
    expect_told(root, "was installed", package.version, "nothing was started or shared")
    expect_nothing_started(root)
    installed = root.files()

    higher = f"{package.version}+later"
    install(root, package.as_version(higher))
    expect_version(root, higher)
    expect_told(root, f"from {package.version} to {higher}")
    expect_same(installed, root)

    install(root, package.path)
    expect_version(root, package.version)
    expect_told(root, f"from {higher} to {package.version}")
    expect_same(installed, root)
    expect_nothing_started(root)

    use_as_service(root)
    used = root.files()
    dpkg(root, "--remove", "peerlift")
    expect_told(root, "was removed")
    check(not (root.path / "usr/bin/peerlift").exists(), "the program is still there")
    check(not (root.path / ENABLED).is_symlink(), "a removed service would start at boot")
    for place in LEFT_BY_SERVICES:
        check(root.files().get(place) == used[place], f"remove touched {place}")

    dpkg(root, "--purge", "peerlift")
    expect_told(root, "was purged")
    expect_same(before, root, allowed=SYSTEMD_FOLDERS)
    check(root.packages() == packages, "dpkg still knows of it")
    check(not root.processes(), "something runs")


def goes_at_once(package, root):
    """Purged without being removed before."""
    before = root.files()
    install(root, package.path)
    use_as_service(root)
    dpkg(root, "--purge", "peerlift")
    expect_same(before, root, allowed=SYSTEMD_FOLDERS)


def needs_no_log(package, root):
    """A machine without syslog and without `logger` installs and removes it all the same."""
    before = root.files()
    logger = root.path / "usr/bin/logger"
    logger.rename(logger.with_name("logger.away"))
    install(root, package.path)
    expect_version(root, package.version)
    dpkg(root, "--purge", "peerlift")
    check(root.told() == [], "who told the log?")
    logger.with_name("logger.away").rename(logger)
    expect_same(before, root)


def units_are_sound(package, root):
    """systemd reads the units without complaint, and rates them as sandboxed."""
    install(root, package.path)
    for unit in sorted((root.path / "usr/lib/systemd/system").glob("peerlift*")):
        name = unit.name.replace("@.", "@iso.")
        for what in (["verify", "--man=no"],
                     ["security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}"]):
            code, output = root.run("systemd-analyze", "--no-pager", *what, name)
            check(code == 0, f"systemd-analyze {what[0]} {name}: {output}")


def a_service_serves_in_its_cage(package, root):
    """The sandbox lets it do all it has to, on port 443, as nobody; purging ends and removes it."""
    if not shutil.which("systemd-nspawn"):
        print("      not tried: systemd-nspawn is not installed")
        return
    install(root, package.path)
    (root.path / "etc/peerlift").mkdir()
    (root.path / "etc/peerlift/serve-iso.env").write_text("OPTIONS=--listen 127.0.0.1:443\n")
    root.detach()  # it gets processes of its own
    told, console = boot(root.path, SERVE_AND_PURGE)
    for what, expected in {"enabled": "0", "fetched": "0", "same": "0", "verified": "0",
                           "no_new_privileges": "1", "seccomp": "2", "stops": "0", "purged": "0",
                           "left": "", "running": ""}.items():
        check(told.get(what) == expected,
              f"{what} is {told.get(what)!r}, not {expected!r}; told {told}; {console[-600:]}")
    check(told["user"] != "0", "it runs as root")


# Runs inside; every line of its output is NAME=VALUE, an exit code mostly.
SERVE_AND_PURGE = """
folder=/var/lib/peerlift-serve/iso/files
url=http://127.0.0.1:443/os.iso
unit=peerlift-serve@iso.service
systemctl enable --now --quiet $unit; echo enabled=$?
head -c 3000000 /dev/urandom >$folder/os.iso
chmod 644 $folder/os.iso
tries=0
until peerlift inspect $url >/dev/null 2>&1 || [ $tries = 60 ]; do tries=$((tries + 1)); sleep 0.5; done
peerlift get --quiet $url -o /tmp/got; echo fetched=$?
cmp -s /tmp/got $folder/os.iso; echo same=$?
peerlift verify --quiet $folder/os.iso; echo verified=$?
process=/proc/$(systemctl show -P MainPID $unit)
echo user=$(stat -c %u $process)
echo no_new_privileges=$(sed -n 's/^NoNewPrivs:.//p' $process/status)
echo seccomp=$(sed -n 's/^Seccomp:.//p' $process/status)
systemctl stop $unit; systemctl is-failed --quiet $unit; echo stops=$((1 - $?))
systemctl start $unit
dpkg --purge peerlift >/dev/null; echo purged=$?
rm -rf /tmp/got /root/.local /root/.config /root/.cache
echo left=$(find / -xdev -path /proc -prune -o -name '*peerlift*' -print)
echo running=$(grep -l peerlift /proc/[0-9]*/comm 2>/dev/null)
"""


def a_user_removes_it_without_a_trace(package, root):
    """Used in every way and uninstalled: files, users, firewall rules, sockets, services and
    processes are as before, but for the download and the marker, which is honoured."""
    if not shutil.which("systemd-nspawn"):
        print("      not tried: systemd-nspawn is not installed")
        return
    shutil.copy(package.path, root.path / "root/peerlift.deb")
    root.detach()
    told, console = boot(root.path, USE_AND_UNINSTALL)
    for what, expected in {
            "enabled": "0", "activated": "1", "downloaded": "0", "agreed": "0", "registered": "0",
            "used": "files sockets services processes", "uninstalled": "0", "honoured": "1 1 1",
            "purged": "0", "users": "", "firewall": "", "sockets": "", "services": "",
            "processes": "", "files": "/home/kim/.config/peerlift-removed /home/kim/os.iso"}.items():
        check(told.get(what) == expected,
              f"{what} is {told.get(what)!r}, not {expected!r}; told {told}; {console[-1500:]}")


# Runs inside, as the script above.
USE_AND_UNINSTALL = """
useradd --create-home --uid 1000 kim
install -d -o kim -g kim -m 700 /run/user/1000
# As user@1000.service, which wants a login and with it half a desktop.
cat >/etc/systemd/system/kim.service <<END
[Service]
Type=notify
User=kim
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/1000
ExecStart=/lib/systemd/systemd --user
END
systemctl daemon-reload
systemctl start kim.service
kim() { runuser -u kim -- env HOME=/home/kim XDG_RUNTIME_DIR=/run/user/1000 "$@"; }
kim mkdir -p /home/kim/.config
nft add table inet theirs
look() {
    { find / -xdev \\( -path /proc -o -path /sys -o -path /root -o -path /run/systemd -o -path /var/log \\
          -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /tmp/publisher \\) -prune \\
          -o -type f -exec sha256sum {} + -o -printf '%y %m %u %g %l %p\\n'
      find /run/user/1000 -printf '%y %m %u %p\\n'; } | sort >/root/$1.files
    cat /etc/passwd /etc/group /etc/shadow /etc/gshadow >/root/$1.users
    nft list ruleset >/root/$1.firewall
    { awk '$4 == "0A" { print "tcp", $2 }' /proc/net/tcp /proc/net/tcp6
      awk 'FNR > 1 { print "udp", $2 }' /proc/net/udp /proc/net/udp6
      awk '$4 == "00010000" { print "unix", $8 }' /proc/net/unix; } | sort >/root/$1.sockets
    { systemctl list-units --all --plain --no-legend --type=service,socket | awk '{ print $1, $3 }'
      kim systemctl --user list-units --all --plain --no-legend --type=service,socket |
          awk '{ print "kim", $1, $3 }'
      systemctl list-unit-files --no-legend
      kim systemctl --user list-unit-files --no-legend; } | sort >/root/$1.services
    names=$(cat /proc/[0-9]*/comm)
    # A console comes up while this runs.
    echo "$names" | grep -v agetty | sort -u >/root/$1.processes
}
differ() { ! cmp -s /root/before.$1 /root/$2.$1; }
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1 || [ $tries = 120 ]; do tries=$((tries + 1)); sleep 0.5; done
}
look before

dpkg -i /root/peerlift.deb >/dev/null
kim systemctl --user daemon-reload
kim systemctl --user enable --now --quiet peerlift.socket; echo enabled=$?
echo activated=$(kim peerlift status --json | grep -c '"running":true')
mkdir -p /tmp/publisher/home /tmp/publisher/site
head -c 3000000 /dev/urandom >/tmp/publisher/site/os.iso
env HOME=/tmp/publisher/home peerlift serve /tmp/publisher/site --listen 127.0.0.1:8080 --quiet \
    --relay-quic-port 0 --access-log off &
server=$!
wait_for peerlift inspect http://127.0.0.1:8080/os.iso
key=$(peerlift inspect --json http://127.0.0.1:8080/os.iso | sed -n 's/.*"publisher": *"\\([0-9a-f]*\\)".*/\\1/p')
rm -rf /root/.local /root/.config /root/.cache
kim peerlift share allow $key --yes >/dev/null; echo agreed=$?
kim peerlift app register org.example.game >/dev/null; echo registered=$?
kim peerlift get --queue -o /home/kim http://127.0.0.1:8080/os.iso >/dev/null
wait_for cmp -s /home/kim/os.iso /tmp/publisher/site/os.iso
cmp -s /home/kim/os.iso /tmp/publisher/site/os.iso; echo downloaded=$?
wait_for sh -c "runuser -u kim -- env HOME=/home/kim XDG_RUNTIME_DIR=/run/user/1000 peerlift status --json | grep -q UDP"
look used
echo used=$(for what in files sockets services processes; do differ $what used && echo $what; done)

kim peerlift uninstall --yes >/dev/null; echo uninstalled=$?
kill $server; wait $server
rm -rf /tmp/publisher
kim peerlift app register org.example.other >/dev/null 2>&1; one=$?
kim peerlift daemon >/dev/null 2>&1; two=$?
kim peerlift panel --no-open >/dev/null 2>&1; echo honoured=$one $two $?
dpkg --purge peerlift >/dev/null; echo purged=$?
kim systemctl --user daemon-reload
look after
for what in users firewall sockets services processes; do
    echo $what=$(diff /root/before.$what /root/after.$what | sed -n 's/^[<>] //p')
done
echo files=$(diff /root/before.files /root/after.files | sed -n 's/^[<>] .* //p' | sort)
"""


# Folders that systemd makes for whatever service is first, and that stay as its own.
SYSTEMD_FOLDERS = ("var/lib/private", "var/cache/private", "etc/systemd/system")


def use_as_service(root):
    """Leaves what an enabled and used service leaves."""
    for place in [*LEFT_BY_SERVICES, ENABLED]:
        (root.path / place).parent.mkdir(parents=True, exist_ok=True)
    for place in LEFT_BY_SERVICES:
        (root.path / place).write_text("used")
    (root.path / ENABLED).symlink_to("/usr/lib/systemd/system/peerlift-serve@.service")
    for folder in ("var/lib", "var/cache"):
        (root.path / folder / "peerlift-serve").mkdir()
        (root.path / folder / "peerlift-serve/iso").symlink_to("../private/peerlift-serve/iso")


TESTS = (carries_what_people_look_for, comes_and_goes, goes_at_once, needs_no_log, units_are_sound,
         a_service_serves_in_its_cage, a_user_removes_it_without_a_trace)


if __name__ == "__main__":
    sys.exit(main())
