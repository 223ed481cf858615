"""An OpenTelemetry collector: the official service definition on a real gRPC server. Writes each span as a line of JSON.

Usage: collector.py PORT FILE [CERTIFICATE KEY]
"""

import concurrent.futures
import json
import sys

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def plain(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, file):
        self.file = file

    def Export(self, request, context):
        for of_resource in request.resource_spans:
            resource = {entry.key: plain(entry.value) for entry in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.file.write(json.dumps({
                        "resource": resource,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "nanos": span.end_time_unix_nano - span.start_time_unix_nano,
                        "error": span.status.code == 2,
                        "attributes": {entry.key: plain(entry.value) for entry in span.attributes},
                    }) + "\n")
        self.file.flush()
        return trace_service_pb2.ExportTraceServiceResponse()


def main():
    port, path, *tls = sys.argv[1:]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
    with open(path, "w", encoding="utf-8") as file:
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(file), server)
        address = f"127.0.0.1:{port}"
        if tls:
            certificate, key = (open(name, "rb").read() for name in tls)
            server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        else:
            server.add_insecure_port(address)
        server.start()
        server.wait_for_termination()


main()
