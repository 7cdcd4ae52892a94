#!/usr/bin/python3
"""Runs a command with a FUSE filesystem beside it that answers, keeps silent or dies as it is told.

usage: fuse_mount.py MOUNTPOINT CONTROL_DIRECTORY COMMAND...

To be run as root below `unshare --mount --pid --fork --mount-proc`, as process 1 of that world. The filesystem is one
empty directory, served straight on /dev/fuse (linux/fuse.h, protocol 7.31). While CONTROL_DIRECTORY holds a file
`silent`, calls of statfs get no answer; they get it when the file is gone. A file `die` kills the server.
"""

import ctypes
import os
import pathlib
import select
import signal
import struct
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MS_NOSUID_NODEV = 2 | 4
PR_SET_PDEATHSIG = 1
ENOSYS = 38
# Opcodes of linux/fuse.h.
GETATTR, STATFS, INIT = 3, 17, 26
WITHOUT_REPLY = {2, 36, 42}  # FORGET, INTERRUPT, BATCH_FORGET
HEADER = struct.Struct("<IIQQIIII")
REPLY = struct.Struct("<IiQ")
REQUEST_BYTES_MAX = 1 << 20
LOOK_SECONDS = 0.02

BLOCKS, FREE, AVAILABLE, FILES, FREE_FILES = 1000, 400, 300, 100, 0
# Reads should be large; what blocks are counted in is another matter.
BLOCK_BYTES, FRAGMENT_BYTES = 131_072, 4096


class Server:
    def __init__(self, fd, control):
        self.fd = fd
        self.silent = control / "silent"
        self.die = control / "die"
        self.unanswered = []

    def reply(self, unique, payload=b"", error=0):
        try:
            os.write(self.fd, REPLY.pack(REPLY.size + len(payload), -error, unique) + payload)
        except FileNotFoundError:
            pass  # the caller is gone

    def reply_statfs(self, unique):
        self.reply(unique, struct.pack("<5Q4I6I", BLOCKS, FREE, AVAILABLE, FILES, FREE_FILES, BLOCK_BYTES, 255,
                                       FRAGMENT_BYTES, *[0] * 7))

    def handle(self, request):
        _, opcode, unique, *_ = HEADER.unpack_from(request)
        if opcode == INIT:
            self.reply(unique, struct.pack("<IIIIHHIIHHI7I", 7, 31, 65_536, 0, 16, 12, 65_536, 1, 0, 0, 0, *[0] * 7))
        elif opcode == GETATTR:
            directory = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            self.reply(unique, struct.pack("<QII", 0, 0, 0) + directory)
        elif opcode == STATFS:
            self.unanswered.append(unique)
        elif opcode not in WITHOUT_REPLY:
            self.reply(unique, error=ENOSYS)

    def serve(self):
        while True:
            if select.select([self.fd], [], [], LOOK_SECONDS)[0]:
                self.handle(os.read(self.fd, REQUEST_BYTES_MAX))
            if self.die.exists():
                os.kill(os.getpid(), signal.SIGKILL)
            while self.unanswered and not self.silent.exists():
                self.reply_statfs(self.unanswered.pop())


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main():
    mountpoint, control, command = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    if LIBC.mount(b"silent-server", mountpoint.encode(), b"fuse.test", MS_NOSUID_NODEV, options.encode()) != 0:
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    if os.fork() == 0:
        die_with_parent()
        Server(fd, control).serve()
    os.close(fd)  # the server's alone, so that the filesystem ends with it
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    (control / "die").touch()
    sys.exit(status)


if __name__ == "__main__":
    main()
