#!/usr/bin/env python3
"""Figures of following a control plane: 1,000 clusters with 10,000 endpoints, beside Envoy in the same run.

    figures.py NINON_PROXY ENVOY

The server is made from the official messages (PyPI: xds-protos, grpcio) and speaks the state of the world. Prints a table.
"""

import json
import os
import queue
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  (names the type for JSON)
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2, json_format

CLUSTERS, ENDPOINTS = 1000, 10
URL = "type.googleapis.com/envoy."
ADS = {"ads": {}, "resource_api_version": "V3"}
HTTP = URL + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def packed(message, fields):
    holder = any_pb2.Any()
    holder.Pack(json_format.ParseDict(fields, message))
    return holder


class Server(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Answers each first request of a type with all there is, and pushes what it is told to."""

    def __init__(self, listen, backend):
        self.backend = backend
        self.listen = listen
        self.version = 1
        self.text = "first"
        self.streams = []
        self.clusters = CLUSTERS
        self.made = {}

    def endpoints(self, index, shift=0):
        def address(number):
            if index == 0 or self.clusters == 1:
                return {"address": "127.0.0.1", "port_value": self.backend}
            return {"address": f"127.{1 + number}.{index // 250}.{1 + index % 250}", "port_value": 8080 + shift}

        of = [{"endpoint": {"address": {"socket_address": address(number)}}} for number in range(ENDPOINTS)]
        return packed(endpoint_pb2.ClusterLoadAssignment(), {"cluster_name": f"c{index}", "endpoints": [{"lb_endpoints": of}]})

    def resources(self, kind):
        if kind.endswith("Cluster"):
            return [
                packed(cluster_pb2.Cluster(), {"name": f"c{index}", "type": "EDS", "eds_cluster_config": {"eds_config": ADS}})
                for index in range(self.clusters)
            ]
        if kind.endswith("ClusterLoadAssignment"):
            return [self.endpoints(index) for index in range(self.clusters)]
        if kind.endswith("Listener"):
            manager = {
                "@type": HTTP,
                "stat_prefix": "in",
                "rds": {"route_config_name": "r", "config_source": ADS},
                "http_filters": [{"name": "router", "typed_config": {"@type": URL + "extensions.filters.http.router.v3.Router"}}],
            }
            address = {"socket_address": {"address": "127.0.0.1", "port_value": self.listen}}
            chain = {"filters": [{"name": "http", "typed_config": manager}]}
            return [packed(listener_pb2.Listener(), {"name": "in", "address": address, "filter_chains": [chain]})]
        if kind.endswith("RouteConfiguration"):
            direct = {"match": {"prefix": "/text"}, "direct_response": {"status": 200, "body": {"inline_string": self.text}}}
            routes = [direct] + [{"match": {"prefix": f"/c{index}/"}, "route": {"cluster": f"c{index}"}} for index in range(self.clusters)]
            hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
            return [packed(route_pb2.RouteConfiguration(), {"name": "r", "virtual_hosts": hosts})]
        return []

    def answer(self, kind, resources):
        self.version += 1
        return discovery_pb2.DiscoveryResponse(
            version_info=str(self.version), nonce=str(self.version), type_url=kind, resources=resources
        )

    def prepare(self):
        kinds = ["config.cluster.v3.Cluster", "config.endpoint.v3.ClusterLoadAssignment", "config.listener.v3.Listener"]
        kinds.append("config.route.v3.RouteConfiguration")
        self.made = {URL + kind: self.resources(kind) for kind in kinds}

    def StreamAggregatedResources(self, requests, context):
        events = queue.Queue()
        self.streams = [events]

        def read():
            try:
                for request in requests:
                    events.put(request)
            except grpc.RpcError:
                pass
            events.put(None)

        threading.Thread(target=read, daemon=True).start()
        asked = {}
        while True:
            event = events.get()
            if event is None:
                return
            if isinstance(event, discovery_pb2.DiscoveryResponse):
                yield event
                continue
            if event.HasField("error_detail"):
                sys.exit(f"refused: {event.error_detail.message[:500]}")
            names = list(event.resource_names)
            if asked.get(event.type_url) == names:
                continue
            asked[event.type_url] = names
            if event.type_url in self.made:
                yield self.answer(event.type_url, self.made[event.type_url])

    def push(self, kind, resources):
        response = self.answer(URL + kind, resources)
        for stream in self.streams:
            stream.put(response)


def backend(port):
    """A service that answers with `ok`, in a process of its own."""
    code = (
        "import socket,threading,sys\n"
        "def serve(wire):\n"
        "    seen=b''\n"
        "    while True:\n"
        "        data=wire.recv(65536)\n"
        "        if not data: return\n"
        "        seen+=data\n"
        "        count=seen.count(b'\\r\\n\\r\\n')\n"
        "        if count:\n"
        "            seen=b''\n"
        "            wire.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok'*count)\n"
        "listen=socket.create_server(('127.0.0.1',int(sys.argv[1])),backlog=512)\n"
        "while True: threading.Thread(target=serve,args=(listen.accept()[0],),daemon=True).start()\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(port)])


def bootstrap(admin, server):
    http2 = {"@type": URL[:-6] + OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": server}}
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {OPTIONS: http2},
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
    source = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
    return {
        "node": {"id": "figures", "cluster": "figures"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "dynamic_resources": {"ads_config": source, "cds_config": ADS, "lds_config": ADS},
        "static_resources": {"clusters": [cluster]},
    }


class Wire:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += self.more()
        head, body = seen.split(b"\r\n\r\n", 1)
        length = re.search(rb"content-length: (\d+)", head.lower())
        while length and len(body) < int(length.group(1)):
            body += self.more()
        return int(head.split()[1]), body.decode()

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data


def until(what, check, limit=60.0):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if check():
                return
        except (OSError, ConnectionError):
            pass
        time.sleep(0.001)
    sys.exit(f"{what}: not within {limit} s")


def anonymous(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Anonymous: +(\d+)", file.read(), re.M).group(1)) / 1024


def cpu_ms(pid, thread):
    """Of one thread. Envoy's main thread and our control thread are the first of their process."""
    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e6


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def latencies(port, seconds, during=None):
    """Milliseconds of requests sent one after the other at about 1,000 a second."""
    wire, taken = Wire(port), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if during and len(taken) == 200:
            threading.Thread(target=during, daemon=True).start()
        begun = time.perf_counter()
        status, _ = wire.get("/c0/")
        taken.append((time.perf_counter() - begun) * 1000)
        if status != 200:
            sys.exit(f"a request got {status}")
        time.sleep(0.0005)
    return taken


def measure(name, command):
    listen, admin, port, service = free_port(), free_port(), free_port(), free_port()
    upstream = backend(service)
    server = Server(listen, service)
    host = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(server, host)
    host.add_insecure_port(f"127.0.0.1:{port}")
    host.start()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "bootstrap.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(bootstrap(admin, port), out)

        def start():
            process = subprocess.Popen([*command, file], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            begun = time.monotonic()
            until(f"{name} ready", lambda: Wire(admin).get("/ready")[0] == 200)
            until(f"{name} serves", lambda: Wire(listen).get("/text")[0] == 200)
            return process, (time.monotonic() - begun) * 1000

        server.clusters = 1
        server.prepare()
        process, idle_ready = start()
        time.sleep(2)
        idle = anonymous(process.pid)
        process.kill()
        process.wait()
        server.clusters = CLUSTERS
        server.prepare()
        process, full_ready = start()
        try:
            time.sleep(3)
            pid = process.pid
            figures["over idle, MiB (anonymous)"] = anonymous(pid) - idle
            figures["start to ready with one cluster, ms"] = idle_ready
            figures["start to ready with all, ms"] = full_ready
            wire = Wire(listen)
            waits = []
            for number in range(30):
                server.text = f"text {number}"
                kind = "config.route.v3.RouteConfiguration"
                made = server.resources(kind)
                begun = time.perf_counter()
                server.push(kind, made)
                while wire.get("/text")[1] != server.text:
                    pass
                waits.append((time.perf_counter() - begun) * 1000)
                time.sleep(0.05)
            figures["route of 1,001 changed: sent to served, ms (median)"] = statistics.median(waits)
            kind = "config.endpoint.v3.ClusterLoadAssignment"
            time.sleep(1)
            before = cpu_ms(pid, pid)
            for number in range(100):
                server.push(kind, [server.endpoints(500, 1 + number)])
                time.sleep(0.02)
            time.sleep(0.5)
            figures["one cluster's endpoints changed: control thread, ms CPU"] = (cpu_ms(pid, pid) - before) / 100
            quiet, busy = [], []
            for number in range(5):
                quiet += latencies(listen, 1.5)
                made = [server.endpoints(index, 200 + number) for index in range(CLUSTERS)]
                busy += latencies(listen, 1.5, lambda made=made: server.push(kind, made))
            figures["p99 quiet, ms"] = percentile(quiet, 0.99)
            figures["p99 while 10,000 endpoints change, ms"] = percentile(busy, 0.99)
            figures["... ratio"] = percentile(busy, 0.99) / percentile(quiet, 0.99)
            figures["after all, MiB over idle"] = anonymous(pid) - idle
        finally:
            process.kill()
            process.wait()
            upstream.kill()
            upstream.wait()
            host.stop(0)
    return figures


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ninon, envoy = sys.argv[1:]
    ours = measure("ninon-proxy", [ninon, "run", "--workers", "1", "-c"])
    theirs = measure("envoy", [envoy, "--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c"])
    print("| figure | Ninon | Envoy |\n|---|---|---|")
    for figure, value in ours.items():
        print(f"| {figure} | {value:.2f} | {theirs[figure]:.2f} |")


if __name__ == "__main__":
    main()
