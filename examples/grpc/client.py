"""Calls the server through the proxy: reflection, unary calls, a stream, an error with its status.

    python client.py 127.0.0.1:8080          # needs `pip install grpcio-health-checking grpcio-reflection`
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

LIMIT = 5  # seconds for each call
NAMES = health_pb2.HealthCheckResponse.ServingStatus

with grpc.insecure_channel(sys.argv[1]) as channel:
    print("services:", ", ".join(sorted(ProtoReflectionDescriptorDatabase(channel).get_services())))
    health = health_pb2_grpc.HealthStub(channel)

    for service in ("shop.Catalog", "shop.Orders"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT)
        print(f"check {service}: {NAMES.Name(answer.status)}")

    try:
        health.Check(health_pb2.HealthCheckRequest(service="shop.Nothing"), timeout=LIMIT)
    except grpc.RpcError as error:
        print(f"check shop.Nothing: {error.code().name} {error.details()}")

    watch = health.Watch(health_pb2.HealthCheckRequest(service="shop.Catalog"), timeout=LIMIT)
    print("watch shop.Catalog:", NAMES.Name(next(watch).status))
    watch.cancel()

    try:
        # Never answers by itself: the client's deadline ends it.
        silent = health.Watch(health_pb2.HealthCheckRequest(service="shop.Catalog"), timeout=0.3)
        for _ in silent:
            pass
    except grpc.RpcError as error:
        print("watch with a deadline of 0.3 s:", error.code().name)
