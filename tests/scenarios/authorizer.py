"""An authorization service on a real gRPC server. Requests whose attributes hold `forbidden` are denied, those that hold `slow` wait.

Usage: authorizer.py PORT
"""

import concurrent.futures
import sys
import time

import grpc

ALLOWED = b""
# CheckResponse with status.code PERMISSION_DENIED.
DENIED = b"\x0a\x02\x08\x07"


def check(request, context):
    if b"slow" in request:
        time.sleep(5)
    return DENIED if b"forbidden" in request else ALLOWED


def main():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    method = grpc.unary_unary_rpc_method_handler(check, request_deserializer=bytes, response_serializer=bytes)
    handler = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
