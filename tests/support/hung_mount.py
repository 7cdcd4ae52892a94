#!/usr/bin/env python3
"""hung_mount.py DIRECTORY COMMAND…

Runs COMMAND in a mount namespace of its own in which DIRECTORY is a filesystem that never answers: a FUSE mount whose
server does not read its requests. SIGUSR1 lets the server die, so that every call on it fails at once. Needs root.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def must(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main(directory, *command):
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    must(LIBC.unshare(CLONE_NEWNS), "unshare")
    must(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    must(LIBC.mount(b"hung", directory.encode(), b"fuse", 0, options), "mount a FUSE filesystem")
    signal.signal(signal.SIGUSR1, lambda *_: os.close(server))
    child = os.fork()
    if child == 0:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(server)
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        try:
            _, status = os.waitpid(child, 0)
            sys.exit(os.waitstatus_to_exitcode(status))
        except InterruptedError:
            continue


if __name__ == "__main__":
    main(*sys.argv[1:])
