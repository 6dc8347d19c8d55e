"""Short system commands that must succeed, each with a limit on its time."""
import subprocess

COMMAND_SECONDS = 20


class CommandFailed(Exception):
    """A system command said no."""


def run(*argv, stdin=None, within=COMMAND_SECONDS, ok=(0,)):
    """Runs a command to its end and gives what it printed. Exit codes outside `ok` are failures."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, text=True, capture_output=True, timeout=within)
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{' '.join(words)}: not done after {within} s") from None
    if done.returncode not in ok:
        raise CommandFailed(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
