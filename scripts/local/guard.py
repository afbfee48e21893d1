"""Ends what a dead owner left behind: run as a process of its own, told session ids on standard input.

`+123` watches session 123, `-123` forgets it. The end of the input means that the owner is gone, in whatever
way, kill -9 included: every watched session is killed, with whatever else has the home folder, if one was given, as a
value in its environment, and that folder removed.
"""

import os
import shutil
import signal
import sys


def _kill_session(session: int) -> None:
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.getsid(int(entry)) == session:
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue


def _kill_dwellers(home: str) -> None:
    """Kill what has the home in its environment: children that began a session of their own."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as environment:
                if any(value.endswith(b"=" + home.encode()) for value in environment.read().split(b"\0")):
                    os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue


def main() -> None:
    home = sys.argv[1] if len(sys.argv) > 1 else ""
    sessions: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        if line[0] == "+":
            sessions.add(session)
        else:
            sessions.discard(session)
    # Twice, for children that were being forked during the first pass.
    for _ in range(2):
        for session in sessions:
            _kill_session(session)
        if home:
            _kill_dwellers(home)
    if home:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    main()
