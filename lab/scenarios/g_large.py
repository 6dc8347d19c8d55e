"""Files of which no 32-bit number can tell the place."""
import filecmp
import shutil
import tempfile
from pathlib import Path

from parts import peerlift
from registry import scenario
from world.here import Here, free_port

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20


@scenario("foreign", needs_root=False)
def offsets_beyond_four_gibibytes_are_right(stage):
    """Most of the file is a hole; its copy is none, so both lie on a disk, not in memory."""
    size = 4 * GIBIBYTE + 64 * MEBIBYTE + 1
    with tempfile.TemporaryDirectory(prefix="peerlift-large-") as folder:
        free = shutil.disk_usage(folder).free
        if free < size + GIBIBYTE:
            stage.note(f"not tried: {free >> 30} GiB are free in {folder}, the copy takes 4")
            return
        origin, copy = Path(folder) / "origin", Path(folder) / "copy"
        origin.mkdir()
        image = origin / "sparse.img"
        with open(image, "wb") as out:
            out.truncate(size)
            for at in (0, 2 * GIBIBYTE - 3, 4 * GIBIBYTE - 3, size - 8):
                out.seek(at)
                out.write(at.to_bytes(8, "big"))
        stage.command([stage.tools.peerlift, "publish", "--no-sha256", image], "publish", Here,
                      within=300)
        server = peerlift.serve(stage, Here, origin, "--no-publish", port=free_port(),
                                wait_for=image.name)
        stage.command([stage.tools.peerlift, "get", "--quiet", f"{server.url}/{image.name}",
                       "-o", copy], "get", Here, within=600)
        stage.check(filecmp.cmp(image, copy, shallow=False), "the copy differs")
