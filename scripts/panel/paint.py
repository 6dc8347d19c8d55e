#!/usr/bin/env python3
"""Times the control panel's first paint in Chromium, beside the browser's own part: that of a page of
three lines, which strangers get.

    scripts/panel/paint.py target/release/peerlift [--runs 5]
"""
import argparse
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))
import needs  # noqa: E402

FIRST_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""
# On a busy machine the browser was seen not to tell of a paint: such a page is not counted, and said.
TOLD_WITHIN_MS = 5000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    needs.enter()
    from tour import WIDE, Tour
    from world import World
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peerlift-paint-")))
        world = World(options.binary.resolve(), folder, stack)
        stack.callback(world.end_service)
        tour = Tour(world, needs.chromium(), folder, stack)
        stranger = re.sub("/open.*", "/", tour.used_link)
        panel, bare = [], []
        for _ in range(options.runs):
            panel.append(first_paint(tour.open(world.link(), WIDE, "light")))
            page = tour.browser.new_context().new_page()
            page.goto(stranger)
            bare.append(first_paint(page))
    print(f"first contentful paint: {told(panel)}; of a page of three lines: {told(bare)}")


def first_paint(page):
    """In ms from the navigation's start; None: the browser did not tell."""
    from playwright.sync_api import TimeoutError
    page.bring_to_front()
    try:
        page.wait_for_function(f"({FIRST_PAINT})() !== null", timeout=TOLD_WITHIN_MS)
        return page.evaluate(FIRST_PAINT)
    except TimeoutError:
        return None
    finally:
        page.context.close()


def told(times):
    known = [time for time in times if time is not None]
    missing = f", {len(times) - len(known)} not told" if len(known) < len(times) else ""
    return f"{median(known):.0f} ms, median of {len(known)}{missing}" if known else "not told"


if __name__ == "__main__":
    main()
