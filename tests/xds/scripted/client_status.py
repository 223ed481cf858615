"""Asks a proxy's admin port what it holds, by gRPC's own library and the official messages: once, and twice on a stream.

Writes both answers as JSON, one on a line, and the code of a request that is refused.
"""

import sys

import grpc
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from envoy.type.matcher.v3 import node_pb2

# Resources are known by these.
from envoy.config.cluster.v3 import cluster_pb2  # noqa: F401
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: F401
from envoy.config.listener.v3 import listener_pb2  # noqa: F401
from envoy.config.route.v3 import route_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import json_format

LIMIT = 10


def show(answer):
    print(json_format.MessageToJson(answer, preserving_proto_field_name=True, indent=None), flush=True)


def main():
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        show(stub.FetchClientStatus(csds_pb2.ClientStatusRequest(), timeout=LIMIT))
        requests = [csds_pb2.ClientStatusRequest(), csds_pb2.ClientStatusRequest(exclude_resource_contents=True)]
        for answer in stub.StreamClientStatus(iter(requests), timeout=LIMIT):
            show(answer)
        try:
            stub.FetchClientStatus(csds_pb2.ClientStatusRequest(node_matchers=[node_pb2.NodeMatcher()]), timeout=LIMIT)
        except grpc.RpcError as error:
            print(error.code().name, error.details())


main()
