#!/usr/bin/env python3
"""Small services to stand behind the examples; Python's standard library only.

    python3 services.py web:9001 web:9002        # NAME:PORT, as many as wanted, until Ctrl-C

Any name is an HTTP service that tells what it was asked. Two names behave in their own way: `reports` answers 503 to two of
every three requests and takes 5 seconds for /slow, `tcp` is not HTTP: it greets and then sends back what it gets.
"""

import itertools
import json
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What a proxy adds on the way; the rest of the headers would only fill the screen.
SHOWN = ["host", "x-forwarded-for", "x-forwarded-proto", "x-gateway", "cookie", "x-envoy-original-path"]
SLOW_SECONDS = 5


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        name, count = self.server.name, next(self.server.count)
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        if name == "reports" and self.path == "/slow":
            time.sleep(SLOW_SECONDS)
        fails = name == "reports" and self.path != "/slow" and count % 3 != 2
        seen = {"service": name, "port": self.server.server_address[1], "method": self.command, "path": self.path}
        seen.update({header: self.headers[header] for header in SHOWN if header in self.headers})
        if body:
            seen["body"] = body
        text = ("try again\n" if fails else json.dumps(seen) + "\n").encode()
        self.send_response(503 if fails else 200)
        self.send_header("content-type", "text/plain" if fails else "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-powered-by", "services.py")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, format, *args):
        pass


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(f"hello from {self.server.server_address[1]}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that went away; it knows


def start(argument):
    name, _, port = argument.rpartition(":")
    server = TcpServer(("127.0.0.1", int(port)), Tcp) if name == "tcp" else HttpServer(("127.0.0.1", int(port)), Http)
    server.name, server.count = name, itertools.count()
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for argument in sys.argv[1:]:
        try:
            start(argument)
        except (OSError, ValueError) as problem:
            print(f"services.py: {argument}: {problem}", file=sys.stderr)
            return 1
    print("services are up:", " ".join(sys.argv[1:]), flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
