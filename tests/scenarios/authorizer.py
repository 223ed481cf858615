"""Authorization services on a real gRPC server and, if it is asked for, a real HTTP server.

By gRPC requests whose attributes hold `forbidden` are denied, those that hold `slow` wait. By HTTP those whose path or `x-team` holds
`forbidden` are denied, and the others are told who it is.

Usage: authorizer.py PORT [HTTP-PORT]
"""

import concurrent.futures
import http.server
import sys
import threading
import time

import grpc

ALLOWED = b""
# CheckResponse with status.code PERMISSION_DENIED.
DENIED = b"\x0a\x02\x08\x07"


def check(request, context):
    if b"slow" in request:
        time.sleep(5)
    return DENIED if b"forbidden" in request else ALLOWED


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        denied = "forbidden" in self.path or "forbidden" in self.headers.get("x-team", "")
        self.send_response(418 if denied else 200)
        self.send_header("x-user", "ada")
        self.send_header("content-length", "0")
        self.end_headers()


def main():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    method = grpc.unary_unary_rpc_method_handler(check, request_deserializer=bytes, response_serializer=bytes)
    handler = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    if len(sys.argv) > 2:
        plain = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
        threading.Thread(target=plain.serve_forever, daemon=True).start()
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
