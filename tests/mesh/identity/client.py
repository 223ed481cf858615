"""A client of the secure port by gRPC's own library: one call, told by a line of JSON, answered by a line of JSON.

  {"call": "certify", "port": N, "root": FILE, "certificate": FILE, "key": FILE, "token": TEXT, "csr": TEXT, "seconds": N}
  {"call": "ads", "port": N, ..., "node": {"id": TEXT, "metadata": {...}, "agent": TEXT}, "type": URL, "names": [...], "hold": bool}

With `hold` the answer comes at once, nothing is acknowledged, and the stream lives until the input ends. With `follow` it lives until the
server ends it, and another line says how.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

SECONDS = 15


def messages():
    """Istio's, from their numbers and types: they are in no package."""
    file = descriptor_pb2.FileDescriptorProto(name="istio/v1/auth/ca.proto", package="istio.v1.auth", syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    kind = descriptor_pb2.FieldDescriptorProto
    request = file.message_type.add(name="IstioCertificateRequest")
    request.field.add(name="csr", number=1, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    request.field.add(name="validity_duration", number=3, type=kind.TYPE_INT64, label=kind.LABEL_OPTIONAL)
    request.field.add(name="metadata", number=4, type=kind.TYPE_MESSAGE, type_name=".google.protobuf.Struct", label=kind.LABEL_OPTIONAL)
    response = file.message_type.add(name="IstioCertificateResponse")
    response.field.add(name="cert_chain", number=1, type=kind.TYPE_STRING, label=kind.LABEL_REPEATED)
    pool = descriptor_pool.Default()
    pool.Add(file)
    names = ("IstioCertificateRequest", "IstioCertificateResponse")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName("istio.v1.auth." + name)) for name in names]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def channel(asked):
    address = f"127.0.0.1:{asked['port']}"
    if "root" not in asked:
        return grpc.insecure_channel(address)
    key, certificate = (read(asked[name]) if name in asked else None for name in ("key", "certificate"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(read(asked["root"]), key, certificate))


def headers(asked):
    return [("authorization", "Bearer " + asked["token"])] if "token" in asked else []


def certify(asked, channel):
    request, response = messages()
    method = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
    call = channel.unary_unary(method, request_serializer=request.SerializeToString, response_deserializer=response.FromString)
    wanted = request(csr=asked["csr"], validity_duration=asked.get("seconds", 0))
    wanted.metadata["ClusterID"] = "Kubernetes"
    return {"chain": list(call(wanted, metadata=headers(asked), timeout=SECONDS).cert_chain)}


def ads(asked, channel):
    from envoy.config.core.v3 import base_pb2
    from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

    node = base_pb2.Node(id=asked["node"]["id"], user_agent_name=asked["node"].get("agent", "tests"))
    node.metadata.update(asked["node"].get("metadata", {}))
    request = discovery_pb2.DiscoveryRequest(node=node, type_url=asked["type"], resource_names=asked.get("names", []))

    def requests():
        yield request
        # The client goes on being there until its input ends.
        sys.stdin.read()

    timeout = None if asked.get("hold") or asked.get("follow") else SECONDS
    stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources
    answers = stream(requests(), metadata=headers(asked), timeout=timeout)
    answer = next(answers)
    said = {"resources": [resource.value.decode("latin-1") for resource in answer.resources]}
    if asked.get("follow"):
        print(json.dumps(said), flush=True)
        for _ in answers:
            pass
        return {"code": "OK", "details": ""}
    if asked.get("hold"):
        print(json.dumps(said), flush=True)
        sys.stdin.read()
        sys.exit(0)
    return said


def main():
    asked = json.loads(sys.stdin.readline())
    with channel(asked) as opened:
        try:
            said = {"certify": certify, "ads": ads}[asked["call"]](asked, opened)
        except grpc.RpcError as error:
            said = {"code": error.code().name, "details": error.details()}
    print(json.dumps(said), flush=True)


main()
