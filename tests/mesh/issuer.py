"""An issuer of tokens (RS256). Its keys are made and used by openssl.

GET /keys            the keys of now, as a JSON Web Key Set
GET /sign?CLAIMS     a token that says CLAIMS (JSON, percent-encoded), signed with the key of now
GET /rotate          another key takes the place of the one of now

Usage: issuer.py PORT FOLDER
"""

import base64
import http.server
import json
import os
import subprocess
import sys
import urllib.parse

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
KEY = os.path.join(FOLDER, "issuer.key")
serial = 0


def openssl(*words, given=b""):
    return subprocess.run(["openssl", *words], input=given, capture_output=True, check=True).stdout


def rotate():
    global serial
    serial += 1
    openssl("genrsa", "-out", KEY, "2048")


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def keys():
    modulus = openssl("rsa", "-in", KEY, "-noout", "-modulus").decode().strip().split("=")[1]
    return {"keys": [{"kty": "RSA", "kid": str(serial), "use": "sig", "n": text(bytes.fromhex(modulus)), "e": "AQAB"}]}


def sign(claims):
    header = {"alg": "RS256", "kid": str(serial)}
    signed = ".".join(text(json.dumps(part).encode()) for part in [header, claims])
    return signed + "." + text(openssl("dgst", "-sha256", "-sign", KEY, given=signed.encode()))


class Issuer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/keys":
            body = json.dumps(keys())
        elif path == "/sign":
            body = sign(json.loads(urllib.parse.unquote(query)))
        else:
            rotate()
            body = str(serial)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


rotate()
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Issuer).serve_forever()
