"""What the panel's test needs: Debian's Chromium, and Playwright for Python in an environment of its own.

Both are installed where that is allowed; what cannot be had is said."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / "target" / "panel-env"
PLAYWRIGHT = "playwright==1.*"
# Brings axe-core along, which looks for what keeps people out. Without it the rest is tested.
AXE = "axe-playwright-python==0.1.*"


def missing():
    """Why the test cannot run; None when it can."""
    if not chromium():
        return "Chromium could not be installed"
    if not playwright_there():
        return "Playwright for Python could not be installed"
    return None


def enter():
    """Goes on in the environment's Python. Without what is needed the program ends, and says why."""
    if reason := missing():
        print(f"panel: left out, {reason}")
        sys.exit(0)
    if Path(sys.prefix) != ENVIRONMENT:
        os.execv(python(), list(map(str, [python(), *sys.argv])))


def chromium():
    """The browser's path, installed by Debian's package where that is allowed."""
    if not shutil.which("chromium") and shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium",
                   "fonts-dejavu-core"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        if quiet(install, environment) != 0:
            quiet(["apt-get", "update"], environment)
            quiet(install, environment)
    return shutil.which("chromium")


def python():
    """The Python of the environment."""
    return ENVIRONMENT / "bin" / "python"


def playwright_there():
    """Whether Playwright can be imported, once it was tried to install it."""
    def there():
        return python().exists() and quiet([python(), "-c", "import playwright.sync_api"]) == 0
    if there():
        return True
    if quiet([sys.executable, "-m", "venv", "--clear", ENVIRONMENT]) != 0:
        # Debian keeps venv apart.
        if shutil.which("apt-get") and os.geteuid() == 0:
            quiet(["apt-get", "install", "--yes", "--no-install-recommends", "python3-venv"])
            quiet([sys.executable, "-m", "venv", "--clear", ENVIRONMENT])
    # Its own browsers are not wanted: Debian's is used.
    environment = {**os.environ, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}
    quiet([python(), "-m", "pip", "install", "--quiet", PLAYWRIGHT], environment)
    quiet([python(), "-m", "pip", "install", "--quiet", AXE], environment)
    return there()


def quiet(argv, environment=None):
    """Runs a command for its exit code; its words are shown when it fails."""
    try:
        done = subprocess.run(list(map(str, argv)), env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        print(f"panel: {argv[0]}: {error}", flush=True)
        return 127
    if done.returncode != 0:
        print(f"panel: {' '.join(map(str, argv))}: {done.stdout[-500:]}", flush=True)
    return done.returncode
