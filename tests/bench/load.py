"""Load that changes from second to second: CPU, memory, disk with fsync, traffic over loopback."""

import multiprocessing
import os
import random
import socket
import time

MEMORY_BYTES_MAX = 400 << 20
FILE_BYTES_MAX = 256 << 20


def use_cpu():
    while True:
        until = time.monotonic() + random.uniform(0.1, 1.5)
        while time.monotonic() < until:
            pass
        time.sleep(random.uniform(0.1, 1.5))


def use_memory():
    held = []
    while True:
        size = random.randrange(8 << 20, 64 << 20)
        held.append(os.urandom(1) * size)  # a copy: each page is written
        while sum(map(len, held)) > MEMORY_BYTES_MAX:
            held.pop(0)
        time.sleep(random.uniform(0.2, 1))


def use_disk(directory):
    fd = os.open(os.path.join(directory, "load"), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    while True:
        for _ in range(random.randrange(1, 20)):
            os.write(fd, os.urandom(random.randrange(4 << 10, 1 << 20)))
        os.fsync(fd)
        size = os.lseek(fd, 0, os.SEEK_CUR)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that what is read comes from the disk
        os.pread(fd, 1 << 20, random.randrange(size))
        if size > FILE_BYTES_MAX:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        time.sleep(random.uniform(0.05, 0.8))


def use_network():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        while True:
            for _ in range(random.randrange(1, 200)):
                sender.sendall(bytes(32 << 10))
                taken = 0
                while taken < 32 << 10:
                    taken += len(receiver.recv(64 << 10))
            time.sleep(random.uniform(0.05, 0.5))


def start(directory):
    """They end with this process."""
    workers = [multiprocessing.Process(target=work, args=arguments, daemon=True)
               for work, arguments in ((use_cpu, ()), (use_memory, ()), (use_disk, (directory,)), (use_network, ()))]
    for worker in workers:
        worker.start()
    return workers
