#!/usr/bin/env python3
"""A web server for the mesh topologies: says which pod and version answered, and what it was told.

  hello.py [PORT] [--version V] [--delay SECONDS] [--status CODE]
"""
import argparse
import json
import os
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("port", nargs="?", type=int, default=8080)
parser.add_argument("--version", default="")
parser.add_argument("--delay", type=float, default=0)
parser.add_argument("--status", type=int, default=200)
options = parser.parse_args()


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(options.delay)
        text = json.dumps({
            "pod": os.environ.get("NETLOOM_NODE", socket.gethostname()), "version": options.version,
            "method": self.command, "path": self.path, "bytes": len(body),
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }).encode() + b"\n"
        self.send_response(options.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("0.0.0.0", options.port), Hello).serve_forever()
