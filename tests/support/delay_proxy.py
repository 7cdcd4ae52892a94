#!/usr/bin/python3
"""A TCP proxy that passes on each byte a while after it came: the distance that netem would make, where there is none.

    delay_proxy.py --listen 192.0.2.1:7171 --to 192.0.2.130:7171 --delay 0.3
"""

import argparse
import asyncio

CHUNK_BYTES = 64 * 1024
CHUNKS_MAX = 1024  # under way in one direction


async def carry(reader, writer, delay):
    loop = asyncio.get_running_loop()
    under_way = asyncio.Queue(CHUNKS_MAX)

    async def take():
        try:
            while data := await reader.read(CHUNK_BYTES):
                await under_way.put((loop.time() + delay, data))
        except OSError:
            pass
        await under_way.put((loop.time() + delay, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        taking.cancel()
        writer.close()


async def serve(listen, to, delay):
    async def accept(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, delay))

    server = await asyncio.start_server(accept, *listen)
    print("listening", flush=True)
    await server.serve_forever()


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--to", type=address, required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds, each way")
    options = parser.parse_args()
    asyncio.run(serve(options.listen, options.to, options.delay))


if __name__ == "__main__":
    main()
