#!/usr/bin/env python3
"""Load for a mesh, and a server that stands it.

  load.py serve PORT [--version V]                         answers every request at once, with its pod and version
  load.py run URL [--rate N] [--for S] [--connections C]   N requests a second, whether they are answered or not

`run` is an open loop: a request is due at its time, and one that finds no idle connection waits in line, which its
latency shows. A failure is an answer of 400 and above, a connection that fails or ends, or no answer within 5 s; nothing
is tried twice. One line of JSON at the end: requests, failed, why, versions, and milliseconds p50, p99, longest.
"""
import argparse
import asyncio
import collections
import json
import os
import socket
import time
import urllib.parse


class Answering(asyncio.Protocol):
    def __init__(self, body):
        self.answer = (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)) + body
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        # GET alone: a request ends with its head.
        parts = (self.rest + data).split(b"\r\n\r\n")
        self.rest = parts.pop()
        if parts:
            self.transport.write(self.answer * len(parts))


async def serve(options):
    body = json.dumps({"pod": os.environ.get("NETLOOM_NODE", socket.gethostname()), "version": options.version}).encode()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(body), "0.0.0.0", options.port, backlog=1024)
    await server.serve_forever()


class Load:
    def __init__(self, options):
        url = urllib.parse.urlsplit(options.url)
        self.host, self.port = url.hostname, url.port or 80
        self.request = f"GET {url.path or '/'} HTTP/1.1\r\nhost: {url.hostname}\r\n\r\n".encode()
        self.options = options
        self.line = asyncio.Queue()
        self.latencies, self.versions, self.failures = [], collections.Counter(), []

    async def exchange(self, connection):
        reader, writer = connection
        writer.write(self.request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
        status = int(head.split(b" ", 2)[1])
        if status >= 400:
            reason = [line for line in head.split(b"\r\n") if line.lower().startswith(b"netloom-refused")]
            raise RuntimeError(f"{status} {reason[0].decode() if reason else ''}".strip())
        self.versions[json.loads(body)["version"] if body.startswith(b"{") else "?"] += 1

    async def worker(self):
        connection = None
        while (due := await self.line.get()) is not None:
            try:
                async with asyncio.timeout(5):
                    if connection is None:
                        connection = await asyncio.open_connection(self.host, self.port)
                    await self.exchange(connection)
                self.latencies.append(time.monotonic() - due)
            except Exception as error:  # whatever it is, the request has failed
                self.failures.append((time.time(), f"{type(error).__name__}: {error}"))
                if connection:
                    connection[1].close()
                connection = None
        if connection:
            connection[1].close()

    async def run(self):
        workers = [asyncio.create_task(self.worker()) for _ in range(self.options.connections)]
        start, count = time.monotonic(), int(self.options.rate * self.options.seconds)
        for number in range(count):
            due = start + number / self.options.rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self.line.put_nowait(due)
        for _ in workers:
            self.line.put_nowait(None)
        await asyncio.gather(*workers)
        sorted_ = sorted(self.latencies) or [0]
        at = lambda share: round(sorted_[min(len(sorted_) - 1, int(share * len(sorted_)))] * 1000, 2)
        times = [moment for moment, _ in self.failures]
        print(json.dumps({
            "requests": count, "failed": len(self.failures), "seconds": round(time.monotonic() - start, 3),
            "why": collections.Counter(text for _, text in self.failures).most_common(5),
            "failing": round(max(times) - min(times), 3) if times else 0, "versions": self.versions,
            "p50": at(0.5), "p99": at(0.99), "longest": at(1),
        }))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(dest="command", required=True)
server = commands.add_parser("serve")
server.add_argument("port", type=int)
server.add_argument("--version", default="")
load = commands.add_parser("run")
load.add_argument("url")
load.add_argument("--rate", type=float, default=1000)
load.add_argument("--for", dest="seconds", type=float, default=10)
load.add_argument("--connections", type=int, default=32)
options = parser.parse_args()
try:
    asyncio.run(serve(options) if options.command == "serve" else Load(options).run())
except KeyboardInterrupt:
    pass
