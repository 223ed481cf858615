"""gRPC servers that answer with their names, and a client that finds them by xDS. One line of JSON in, one out."""

import json
import sys
from concurrent import futures

import grpc

METHOD = "/tests.Echo/Name"


def serve(name):
    def answer(request, context):
        return name.encode()

    handler = grpc.method_handlers_generic_handler("tests.Echo", {"Name": grpc.unary_unary_rpc_method_handler(answer)})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handler,))
    return server, server.add_insecure_port("127.0.0.1:0")


def call(channels, target):
    if target not in channels:
        channels[target] = grpc.insecure_channel(target)
    try:
        return channels[target].unary_unary(METHOD)(b"", timeout=5).decode()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def main():
    servers = {name: serve(name) for name in ("first", "second")}
    for server, _ in servers.values():
        server.start()
    print(json.dumps({name: port for name, (_, port) in servers.items()}), flush=True)
    channels = {}
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps([call(channels, command["target"]) for _ in range(command["calls"])]), flush=True)


main()
