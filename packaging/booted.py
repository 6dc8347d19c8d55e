"""Boots a root folder with its own systemd, without a network, to see services as systemd runs them."""
import subprocess

# Far more than a boot of a second and a script of ten take.
BOOT_SECONDS_MAX = 180

RUN_ONCE = """[Unit]
After=basic.target

[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/sh -c '/bin/sh /root/script >/root/told 2>/root/complained'
ExecStopPost=/bin/systemctl --no-block poweroff
"""


def boot(root, script):
    """Boots, runs a shell script and powers off. Gives the NAME=VALUE lines that the script printed,
    and what the console and the script's standard error said."""
    (root / "root/script").write_text(script)
    (root / "etc/systemd/system/run-once.service").write_text(RUN_ONCE)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "run-once.service").symlink_to("../run-once.service")
    # Not registered: there may be no systemd outside.
    booted = subprocess.run(
        ["timeout", "--kill-after=10", str(BOOT_SECONDS_MAX), "systemd-nspawn", "--register=no",
         "--keep-unit", "--private-network", "--quiet", "--boot", f"--directory={root}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace")
    said = [root / "root" / name for name in ("told", "complained")]
    told, complained = (path.read_text() if path.exists() else "" for path in said)
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line), \
        f"{booted.stdout}\n{complained}"
