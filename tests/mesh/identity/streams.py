"""gRPC's own library at both ends of streams, its client by way of a sidecar. Says the server's port, reads the sidecar's; after that one
line of JSON in, one out:

  {"open": METHOD}   a stream on which something is said, and heard by the server
  {"say": METHOD}    whether it is repeated
  {"end": METHOD}    waits until it ends: the client's code, and whether the server knows

`Chat` repeats what is said; `Upload` hears it, and says nothing before the end.
"""

import json
import queue
import sys
import threading
import time
from concurrent import futures

import grpc

LIMIT = 20


class Stream:
    def __init__(self):
        self.heard = threading.Semaphore(0)
        self.over = threading.Event()
        self.words = queue.Queue()
        self.call = None

    def say(self):
        self.words.put(b"word")
        return self.heard.acquire(timeout=LIMIT)


streams = {}


def chat(words, context):
    context.add_callback(streams["Chat"].over.set)
    for word in words:
        yield word


def upload(words, context):
    stream = streams["Upload"]
    context.add_callback(stream.over.set)
    for _ in words:
        stream.heard.release()
    return b"done"


def serve():
    methods = {"Chat": grpc.stream_stream_rpc_method_handler(chat), "Upload": grpc.stream_unary_rpc_method_handler(upload)}
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Streams", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def listen(stream):
    try:
        for _ in stream.call:
            stream.heard.release()
    except grpc.RpcError:
        pass


def begun(channel, method):
    stream = streams[method] = Stream()
    path, words = "/tests.Streams/" + method, iter(stream.words.get, None)
    if method == "Chat":
        stream.call = channel.stream_stream(path)(words, wait_for_ready=True)
        threading.Thread(target=listen, args=(stream,), daemon=True).start()
    else:
        stream.call = channel.stream_unary(path).future(words, wait_for_ready=True)
    stream.words.put(b"word")
    for _ in range(LIMIT * 10):
        if stream.heard.acquire(timeout=0.1):
            return True
        if stream.call.done():
            break
    stream.words.put(None)
    return False


def opened(channel, method):
    """The sidecars may not know of each other yet."""
    end = time.monotonic() + LIMIT
    while not begun(channel, method):
        if time.monotonic() > end:
            return False
    return True


def ended(stream):
    over, done = stream.over.wait(LIMIT), threading.Event()
    if not stream.call.add_callback(done.set):
        done.set()
    code = stream.call.code().name if done.wait(LIMIT) else None
    return {"code": code, "server": over}


def main():
    server, port = serve()
    print(port, flush=True)
    channel = grpc.insecure_channel(f"127.0.0.1:{int(sys.stdin.readline())}", options=[("grpc.default_authority", "cart")])
    for line in sys.stdin:
        ((does, method),) = json.loads(line).items()
        stream = streams.get(method)
        answer = {"open": lambda: opened(channel, method), "say": lambda: stream.say(), "end": lambda: ended(stream)}[does]()
        print(json.dumps(answer), flush=True)
    for stream in streams.values():
        stream.words.put(None)
    server.stop(None)


main()
