"""A gRPC server with the standard services for health and reflection. Needs `pip install grpcio-health-checking grpcio-reflection`."""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

port = int(sys.argv[1])
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
status = health.HealthServicer()
status.set("shop.Catalog", health_pb2.HealthCheckResponse.SERVING)
status.set("shop.Orders", health_pb2.HealthCheckResponse.NOT_SERVING)
health_pb2_grpc.add_HealthServicer_to_server(status, server)
reflection.enable_server_reflection([health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME], server)
if server.add_insecure_port(f"127.0.0.1:{port}") != port:
    sys.exit(f"port {port} is taken")
server.start()
print(f"listening on {port}", flush=True)
server.wait_for_termination()
