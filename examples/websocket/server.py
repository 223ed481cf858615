"""A WebSocket server that sends back what it gets; plain requests get a word. Needs `pip install websockets`."""

import http
import sys

from websockets.sync.server import serve


def converse(connection):
    for message in connection:
        connection.send(message if isinstance(message, bytes) else f"you said: {message}")


def plain(connection, request):
    if request.path != "/ws":
        return connection.respond(http.HTTPStatus.OK, "this page is plain HTTP\n")
    return None


port = int(sys.argv[1])
with serve(converse, "127.0.0.1", port, process_request=plain) as server:
    print(f"listening on {port}", flush=True)
    server.serve_forever()
