#!/usr/bin/env python3
"""The other server: says how many pieces are in stock to whoever connects. stock.py [PORT]"""
import socketserver
import sys


class Stock(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"42\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


Server(("0.0.0.0", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Stock).serve_forever()
