#!/usr/bin/env python3
"""Looks at the control panel in Chromium: a real service, a real transfer, real clicks.

    scripts/panel/run.py target/release/peerlift

Screenshots of every view stay in target/panel/. The last line is `N passed, N failed`."""
import shutil
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import needs  # noqa: E402

SCREENSHOTS = needs.ROOT / "target" / "panel"


def main():
    binary = Path(sys.argv[1]).resolve()
    needs.enter()
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)
    import look
    from tour import Tour
    from world import World
    passed, failed = 0, 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peerlift-panel-")))
        world = World(binary, folder, stack)
        stack.callback(world.end_service)
        tour = Tour(world, needs.chromium(), SCREENSHOTS, stack)
        if not look.axe():
            print("axe-core: left out, it could not be installed", flush=True)
        for number, check in enumerate(tour.checks(), 1):
            try:
                check()
                passed += 1
                print(f"ok    {name_of(check)}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {name_of(check)}\n{traceback.format_exc()}", flush=True)
                tour.shoot(f"failure-{number}")
    print(f"screenshots: {SCREENSHOTS}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def name_of(check):
    return check.__name__.replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
