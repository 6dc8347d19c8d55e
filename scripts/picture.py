#!/usr/bin/env python3
"""Draws what `make demo` printed as a moving picture, docs/demo.svg.

    make demo | tee demo.log; scripts/picture.py demo.log >docs/demo.svg

When its output is no terminal, the demo prints its display as a block of lines every few seconds;
each block is one frame.
"""
import html
import sys
from pathlib import Path

LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 18, 8.43, 16
FRAME_SECONDS, LAST_FRAME_SECONDS = 1.0, 8.0
STYLE = ("text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d8dee9;"
         "white-space:pre}.prompt{fill:#a3be8c}")


def main():
    text = Path(sys.argv[1]).read_text().split("The file:", 1)[1]
    before, _, rest = ("The file:" + text).partition("\n\n")
    blocks = [block.strip("\n").splitlines() for block in rest.split("\n\n") if block.strip()]
    frames = [block for block in blocks if block[0].startswith("downloader 1  [")]
    table = [line for block in blocks if block not in frames for line in [*block, ""]]
    print(draw(["$ make demo", *before.splitlines(), ""], frames, table))


def draw(head, frames, table):
    frames = [*frames[:-1], [*frames[-1], "", *table]]
    rows = len(head) + max(map(len, frames))
    width = 2 * MARGIN + CHARACTER_WIDTH * max(map(len, [*head, *sum(frames, [])]))
    height = 2 * MARGIN + LINE_HEIGHT * rows
    total = FRAME_SECONDS * (len(frames) - 1) + LAST_FRAME_SECONDS
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
             f'viewBox="0 0 {width:.0f} {height}" role="img" xml:space="preserve" '
             'aria-label="make demo: six downloaders share a file">',
             f"<style>{STYLE}{''.join(keyframes(len(frames), total))}</style>",
             f'<rect width="100%" height="100%" rx="8" fill="#2e3440"/>',
             lines(head, 0)]
    for number, frame in enumerate(frames):
        parts.append(f'<g class="f{number}">{lines(frame, len(head))}</g>')
    return "\n".join([*parts, "</svg>"])


def keyframes(count, total):
    """Shows each frame in its turn; without animation, only the last is seen."""
    for number in range(count):
        start = 100 * FRAME_SECONDS * number / total
        end = 100.0 if number == count - 1 else 100 * FRAME_SECONDS * (number + 1) / total
        hidden = "" if number == count - 1 else f".f{number}{{opacity:0}}"
        steps = f"0%{{opacity:0}}{start:.2f}%{{opacity:1}}{end:.2f}%{{opacity:0}}"
        if number == 0:
            steps = f"0%{{opacity:1}}{end:.2f}%{{opacity:0}}"
        if number == count - 1:
            steps = f"0%{{opacity:0}}{start:.2f}%{{opacity:1}}100%{{opacity:1}}"
        yield (f"{hidden}@keyframes k{number}{{{steps}}}"
               f".f{number}{{animation:k{number} {total}s step-end infinite}}")


def lines(texts, row):
    return "".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * (row + at) + 13}"'
        f'{" class=" + chr(34) + "prompt" + chr(34) if text.startswith("$") else ""}>'
        f"{html.escape(text)}</text>"
        for at, text in enumerate(texts) if text)


if __name__ == "__main__":
    main()
