"""An xDS server of the official messages and gRPC's own library, which says what it is told to say and nothing else.

Lines of JSON are read from standard input, lines of JSON are written to standard output. The first that is written is
`{"port": N}`. Proxies are told apart by the id of their node.

Written:
  {"opened": STREAM, "node": ID, "metadata": {..}}                before the first request of a stream
  {"request": {..}, "stream": STREAM, "node": ID}                 each request, in protobuf's JSON
  {"closed": STREAM, "node": ID}                                  the proxy, or this server, ended the stream

Read:
  {"listen": ADDRESS, "tls": {..}}        listens there, too; tls is null, or has `certificate`, `key`, and the authority of `clients`
A command with a node goes to the last stream of its node:
  {"node": ID, "respond": {..}}           one response in protobuf's JSON. `bulk` adds resources: {"count": N, "resource": {..}},
                                          in whose texts `{n}` is a number. {"@type": URL, "@bytes": HEX} is any message.
  {"node": ID, "fail": [CODE, TEXT]}      ends the stream with an error
  {"node": ID, "end": true}               ends the stream as if all were said
  {"node": ID, "serve": {TYPE: [..]}}     from now on requests for these types are answered without further commands; what is
                                          asked for already is sent at once where it has changed
"""

import concurrent.futures
import importlib
import json
import os
import queue
import sys
import threading

import envoy
import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2, json_format

# Streams at the same time; each holds a thread.
STREAMS = 64
# A request with all that a proxy knows of a large mesh.
LARGEST_REQUEST = 64 * 1024 * 1024
WHOLE = ("envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "envoy.config.route.v3.ScopedRouteConfiguration")

lock = threading.RLock()
servers = []
streams = {}
served = {}
imported = set()


def say(**event):
    with lock:
        print(json.dumps(event), flush=True)


def know_types(value):
    """Imports the modules of all messages that a JSON value names: protobuf knows only what was imported."""
    if isinstance(value, list):
        for each in value:
            know_types(each)
    elif isinstance(value, dict):
        for each in value.values():
            know_types(each)
        package = value.get("@type", "").rsplit("/", 1)[-1].rpartition(".")[0]
        if package.startswith("envoy.") and package not in imported:
            imported.add(package)
            folder = os.path.join(os.path.dirname(envoy.__path__[0]), *package.split("."))
            for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                if file.endswith("_pb2.py"):
                    importlib.import_module(f"{package}.{file.removesuffix('.py')}")


def packed(value):
    with lock:
        know_types(value)
    message = any_pb2.Any()
    if "@bytes" in value:
        message.type_url = value["@type"]
        message.value = bytes.fromhex(value["@bytes"])
        return message
    return json_format.ParseDict(value, message)


def numbered(value, number):
    if isinstance(value, str):
        return value.replace("{n}", str(number))
    if isinstance(value, list):
        return [numbered(each, number) for each in value]
    if isinstance(value, dict):
        return {name: numbered(each, number) for name, each in value.items()}
    return value


def response(dialect, fields):
    """A response, its resources apart: they may be of types that JSON cannot tell."""
    fields = dict(fields)
    resources = list(fields.pop("resources", []))
    bulk = fields.pop("bulk", None)
    if bulk:
        resources += [numbered(bulk["resource"], number) for number in range(bulk["count"])]
    if dialect == "sotw":
        message = json_format.ParseDict(fields, discovery_pb2.DiscoveryResponse())
        message.resources.extend(packed(resource) for resource in resources)
        return message
    message = json_format.ParseDict(fields, discovery_pb2.DeltaDiscoveryResponse())
    for resource in resources:
        resource = dict(resource)
        body = resource.pop("resource", None)
        added = json_format.ParseDict(resource, message.resources.add())
        if body is not None:
            added.resource.CopyFrom(packed(body))
    return message


def name_of(resource):
    return resource.get("name") or resource.get("cluster_name", "")


class Stream:
    count = 0

    def __init__(self, dialect, context):
        with lock:
            Stream.count += 1
            self.number = Stream.count
        self.dialect = dialect
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.node = None
        self.actions = queue.Queue()
        self.nonces = 0
        # What this stream asks for, by type, and what it was given of it.
        self.asked = {}
        self.given = {}

    def run(self, requests, context):
        threading.Thread(target=self.read, args=(requests,), daemon=True).start()
        while True:
            action, value = self.actions.get()
            if action == "respond":
                yield response(self.dialect, value)
            elif action == "fail":
                context.abort(getattr(grpc.StatusCode, value[0]), value[1])
            else:
                return

    def read(self, requests):
        try:
            for request in requests:
                if self.node is None:
                    self.node = request.node.id
                    with lock:
                        streams[self.node] = self
                    say(opened=self.number, node=self.node, metadata=self.metadata)
                shown = json_format.MessageToDict(request, preserving_proto_field_name=True)
                say(request=shown, stream=self.number, node=self.node)
                with lock:
                    self.hear(request)
                    self.serve(request.type_url)
        except grpc.RpcError:
            pass
        say(closed=self.number, node=self.node)
        self.actions.put(("end", None))

    def hear(self, request):
        """What is asked for, of types that are served."""
        if self.dialect == "sotw":
            self.asked[request.type_url] = set(request.resource_names)
        else:
            names = self.asked.setdefault(request.type_url, set())
            names.update(request.resource_names_subscribe)
            # Who asks again wants it again.
            for name in request.resource_names_subscribe:
                self.given.get(request.type_url, {}).pop(name, None)
            names.difference_update(request.resource_names_unsubscribe)

    def serve(self, type_url):
        """Gives what this stream asks for of a served type, if it does not have it as it is."""
        resources = served.get(self.node, {}).get(type_url)
        if resources is None or type_url not in self.asked:
            return
        names = self.asked[type_url]
        whole = type_url.rpartition("/")[2] in WHOLE
        wanted = {name_of(each): each for each in resources if whole or name_of(each) in names}
        given = self.given.get(type_url)
        if given == wanted:
            return
        self.given[type_url] = wanted
        self.nonces += 1
        fields = {"type_url": type_url, "nonce": f"served-{self.nonces}"}
        version = f"served-{self.nonces}"
        if self.dialect == "sotw":
            fields.update(version_info=version, resources=list(wanted.values()))
        else:
            given = given or {}
            changed = [name for name in wanted if given.get(name) != wanted[name]]
            fields["resources"] = [{"name": name, "version": version, "resource": wanted[name]} for name in changed]
            fields["removed_resources"] = [name for name in given if name not in wanted and (whole or name in names)]
        self.actions.put(("respond", fields))


class Server(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def StreamAggregatedResources(self, requests, context):
        return Stream("sotw", context).run(requests, context)

    def DeltaAggregatedResources(self, requests, context):
        return Stream("delta", context).run(requests, context)


def obey(command):
    if "listen" in command:
        listen(command["listen"], command["tls"])
        return
    with lock:
        stream = streams.get(command["node"])
        if "serve" in command:
            served.setdefault(command["node"], {}).update(command["serve"])
            for type_url in command["serve"]:
                if stream:
                    stream.serve(type_url)
            return
        for action in ("respond", "fail", "end"):
            if action in command:
                stream.actions.put((action, command[action]))


def listen(address, tls=None):
    """A server at an address; its port."""
    # Tests have the proxy look after its connection more often than gRPC usually allows.
    options = [
        ("grpc.max_receive_message_length", LARGEST_REQUEST),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
    ]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(STREAMS), options=options)
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Server(), server)
    if tls is None:
        port = server.add_insecure_port(address)
    else:
        pair = (tls["key"].encode(), tls["certificate"].encode())
        clients = tls["clients"].encode() if "clients" in tls else None
        port = server.add_secure_port(address, grpc.ssl_server_credentials([pair], clients, clients is not None))
    server.start()
    # A server ends with the last reference to it.
    servers.append(server)
    return port


def main():
    say(port=listen("127.0.0.1:0"))
    for line in sys.stdin:
        obey(json.loads(line))


if __name__ == "__main__":
    main()
    # Streams wait for commands that nobody can give any more.
    os._exit(0)
