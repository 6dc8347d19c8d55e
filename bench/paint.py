"""How soon the control panel is on the screen, in a real browser."""
import subprocess
import sys
from pathlib import Path

PAINT = Path(__file__).resolve().parent.parent / "scripts" / "panel" / "paint.py"


def bench(stage, options):
    subprocess.run([sys.executable, PAINT, stage.tools.peerlift, "--runs", str(options.runs)], check=True)
