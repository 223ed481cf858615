"""Sends its arguments after the address as messages and prints the answers. Needs `pip install websockets`.

    python client.py ws://127.0.0.1:8080/ws hello world
"""

import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

try:
    with connect(sys.argv[1], open_timeout=5, close_timeout=5) as connection:
        for message in sys.argv[2:]:
            connection.send(message)
            print(connection.recv(timeout=5))
        # Too large for one frame of the network, and not text.
        large = bytes(range(256)) * 1024
        connection.send(large)
        print("256 KiB came back whole:", connection.recv(timeout=5) == large)
    print("closed with", connection.close_code)
except InvalidStatus as refused:
    print("refused with", refused.response.status_code)
    sys.exit(1)
