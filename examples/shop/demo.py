#!/usr/bin/env python3
"""Starts the shop in a mesh, puts it under load, and changes the mesh meanwhile. Not one request may fail.

    python3 demo.py [--keep] [--seconds N] FOLDER     # FOLDER has the programs ninon, ninon-proxy and shop

--keep (or KEEP=1 in the environment) leaves it running at the end, until Ctrl-C. --seconds is how long traffic is looked at
at each step. Ends with 0 if all went as it should. Needs curl; all processes are on 127.0.0.1 and end with this one.
"""

import argparse
import json
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tour import FAILED, Problem, Processes, check, interrupt_on_signals, listens, moved_ports, run, say, say_command, section, until, wait_for_interrupt  # noqa: E402

START_SECONDS, CHANGE_SECONDS, RECONNECT_SECONDS, LOAD_END_SECONDS = 30, 10, 30, 15
RATE, CONNECTIONS = 100, 16
COUNT_SECONDS = 60
# Each with its sidecar's port, the service's own, where the sidecar takes what goes out, its admin page: as in mesh/*.yaml.
WORKLOADS = {
    "gateway-1": (8010, 9010, 15110, 15210),
    "web-1": (8020, 9020, 15120, 15220),
    "cart-1": (8031, 9031, 15131, 15231),
    "cart-2": (8032, 9032, 15132, 15232),
    "prices-v1": (8041, 9041, 15141, 15241),
    "prices-v2": (8042, 9042, 15142, 15242),
}
XDS, SECURE_XDS, API = 15010, 15012, 15014
# The share of requests that a version gets is further from its weight than this once in two million times.
STANDARD_DEVIATIONS = 5


def main():
    options = arguments()
    for program in ("ninon", "ninon-proxy", "shop"):
        if not (options.programs / program).exists():
            print(f"The demo needs the program {options.programs / program}: cargo build -p ninon -p ninon-proxy -p shop")
            return 1
    if not shutil.which("curl"):
        print("The demo needs the program curl.")
        return 1
    interrupt_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="ninon-shop-") as folder, Processes(Path(folder)) as processes:
            shop = Shop(options, Path(folder), processes)
            tour(shop, options.seconds)
            if FAILED:
                shop.say_complaints()
            say_what_next(shop)
            if options.keep:
                say("Still running. Ctrl-C stops everything.", bold=True)
                wait_for_interrupt()
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped")
        return 130
    except Problem as problem:
        print(f"\nThe demo could not go on: {problem}")
        return 1
    if FAILED:
        print(f"\nNot as expected: {'; '.join(FAILED)}")
        return 1
    print("All processes are stopped." if options.keep else "All processes are stopped; `KEEP=1 make demo` leaves them running for you to try.")
    return 0


def arguments():
    parser = argparse.ArgumentParser(description="The shop in a mesh, under load.")
    parser.add_argument("programs", type=lambda text: Path(text).resolve(), metavar="FOLDER", help="where ninon, ninon-proxy and shop are")
    parser.add_argument("--keep", action="store_true", default=os.environ.get("KEEP", "") not in ("", "0"), help="leave it running at the end, until Ctrl-C")
    parser.add_argument("--seconds", type=float, default=4, metavar="N", help="how long traffic is looked at at each step [4]")
    return parser.parse_args()


def tour(shop, seconds):
    say("Ninon: a shop in a service mesh", bold=True)
    say(f"""
  load -> gateway -> web -> cart (two replicas) -> prices v1 and v2
          HTTP/1     HTTP/1  HTTP/2                 gRPC

  A service calls the next one by its name, through its own sidecar: web -> sidecar of web -> sidecar of cart-1 -> cart-1.
  All on 127.0.0.1:    sidecar  service  outbound  admin page
{shop.table()}
  control plane: proxies at {shop.port(XDS)} and {shop.port(SECURE_XDS)}, API at {shop.port(API)}
""")

    section("1. The control plane, six services, six sidecars")
    say("The control plane reads services and workloads from a folder of YAML files (a copy of examples/shop/mesh):")
    shop.start_control_plane()
    say("Each service has a sidecar. By a token it gets a certificate that says who it is, and by that it asks the control plane for\neverything. Of the six, the web front's:\n")
    shop.start_workloads()
    say("\nA route says which version of the prices gets what part of the questions. It goes to the control plane by its API:")
    shop.apply("split-90-10.yaml", "the new prices for one in ten")
    until(START_SECONDS, "all six sidecars have everything", shop.all_synced)
    shop.ninon("proxies")
    until(START_SECONDS, "the shop answers", lambda: shop.get().returncode == 0)
    answer = shop.get(tell=True)
    check("the answer came by way of all four services", len(json.loads(answer.stdout)["answered_by"]) == 4)

    say("Between the sidecars everything is mutual TLS: mesh/mesh.yaml demands it of all but the gateway's, which users reach. Somebody\nwithout a certificate is refused:")
    shop.is_refused("cart-1")
    say("With a certificate it is policy who may do what. By mesh/policies.yaml only the web front asks carts, and nobody for /admin. So the\ngateway gets no answer from them, nor does the web front however it spells it; the sidecar of the cart says which policy that was:")
    shop.is_denied("gateway-1", "/cart/ada", "no policy allows it")
    shop.is_denied("web-1", "/x/%2e%2e/admin", "ns[shop]-policy[admin]-rule[0]")
    shop.ninon("ca", "status")

    section("2. Load: the split as it is measured")
    shop.start_load()
    shop.look(seconds, v2=10)

    section("3. A shift to 50/50, under load")
    before = shop.acknowledged("routes")
    began = time.monotonic()
    shop.apply("split-50-50.yaml", "the new prices for every other")
    shop.say_reached("routes", before, began, "the command was begun")
    shop.look(seconds, v2=50)

    section("4. The control plane is killed. Traffic goes on")
    say_command("kill", "-9", shop.processes.running["control-plane"].pid, comment="ninon serve")
    shop.processes.stop("control-plane", signal.SIGKILL)
    shop.ninon("proxies", expect=1)
    shop.look(seconds, v2=50)
    say("It is started again as before. It has kept what it was told, and the sidecars come back to it:")
    began = time.monotonic()
    shop.start_control_plane()
    until(RECONNECT_SECONDS, "all six sidecars are connected again", shop.all_synced)
    say(f"All six sidecars are connected again, {time.monotonic() - began:.1f} s after its start.")

    section("5. A file is edited: cart-2 gets no more requests, and can be replaced")
    shop.edit("ready: true", "ready: false")
    counts = shop.look(seconds, v2=50)
    check("cart-2 gets nothing", counts["answered"].get("cart-2", 0) == 0 and counts["answered"].get("cart-1", 0) > 0)
    shop.restart_service("cart-2")
    shop.edit("ready: false", "ready: true")
    counts = shop.look(seconds, v2=50)
    check("cart-2 gets its part again", counts["answered"].get("cart-2", 0) > 0)

    section("6. Who changed what, and back")
    history = shop.ninon("history")
    revision = next(line.split()[0] for line in history.stdout.splitlines() if "one in ten" in line)
    before = shop.acknowledged("routes")
    began = time.monotonic()
    shop.ninon("rollback", revision, "-m", "as it was")
    shop.say_reached("routes", before, began, "the command was begun")
    shop.look(seconds, v2=10)

    section("7. What the users saw")
    shop.end_load()


def say_what_next(shop):
    section("What to try next")
    say("While this runs (KEEP=1 make demo), in another terminal:" if not shop.options.keep else "In another terminal:")
    routes = os.path.relpath(HERE / "routes")
    say(f"""
  export PATH="{shop.options.programs}:$PATH" NINON_SERVER={shop.api} NINON_TOKEN_FILE={shop.token}
  shop load --gateway {shop.gateway}                            # a line each second, until Ctrl-C
  curl -s {shop.url}
  ninon diff -f {routes}/split-50-50.yaml      # what apply would change
  ninon apply -f {routes}/split-50-50.yaml
  ninon get grpcroute prices -n shop -o yaml > prices.yaml     # change a weight in it, then: ninon apply -f prices.yaml
  ninon proxies cart-1 -o yaml                                 # what one sidecar was sent, and what it took
  curl -s http://127.0.0.1:{shop.port(WORKLOADS['cart-1'][3])}/stats/prometheus | grep upstream_rq

More, and what the files are: examples/shop/README.md
""")


class Shop:
    """The mesh and the services in it."""

    def __init__(self, options, folder, processes):
        self.options, self.folder, self.processes = options, folder, processes
        self.moved = moved_ports({XDS, SECURE_XDS, API, *(port for ports in WORKLOADS.values() for port in ports)})
        self.mesh, self.state = folder / "mesh", folder / "state"
        self.api, self.token = f"http://127.0.0.1:{self.port(API)}", self.state / "admin-token"
        self.gateway = f"127.0.0.1:{self.port(WORKLOADS['gateway-1'][0])}"
        self.url = f"http://{self.gateway}/cart/ada"
        self.mesh.mkdir()
        for file in sorted((HERE / "mesh").glob("*.yaml")):
            text = re.sub(r"\d{4,5}", lambda found: str(self.port(int(found[0]))), file.read_text())
            (self.mesh / file.name).write_text(text)

    def port(self, written):
        """Where the port that stands in the files has gone."""
        return self.moved.get(written, written)

    def table(self):
        rows = ((name, *map(self.port, ports)) for name, ports in WORKLOADS.items())
        return "".join(f"    {name:16}{own:9}{service:9}{outbound:10}{admin:12}\n" for name, own, service, outbound, admin in rows)

    def program(self, name):
        return self.options.programs / name

    def start(self, name, *command, told=False):
        if told:
            say_command(*command)
        self.processes.start(name, self.program(command[0]), *command[1:])

    def start_control_plane(self):
        xds, secure, api = (f"127.0.0.1:{self.port(port)}" for port in (XDS, SECURE_XDS, API))
        addresses = ("--xds-address", xds, "--secure-xds-address", secure, "--api-address", api)
        self.start("control-plane", "ninon", "serve", "--config-dir", self.mesh, "--state-dir", self.state, *addresses, told=True)
        until(START_SECONDS, "the control plane answers", lambda: self.proxies() is not None)
        say("")

    def start_workloads(self):
        for name in WORKLOADS:
            self.make_token(name, told=name == "web-1")
            self.start_service(name, told=name == "web-1")
            self.start_sidecar(name, told=name == "web-1")

    def addresses(self, name):
        return [f"127.0.0.1:{self.port(port)}" for port in WORKLOADS[name]]

    def start_service(self, name, told=False):
        _, service, outbound, _ = self.addresses(name)
        kind, _, number = name.rpartition("-")
        more = ["--version", number] if kind == "prices" else ["--sidecar", outbound]
        self.start(name, "shop", kind, "--name", name, "--listen", service, *more, told=told)

    def make_token(self, name, told=False):
        """What shows that a sidecar belongs to the mesh: a file beside it, as an orchestrator would put it there."""
        account = name.rpartition("-")[0]
        words = ("token", "create", "--namespace", "shop", "--service-account", account, "--workload", name)
        if told:
            say_command("ninon", *words, comment=f"> {self.join(name).name}")
        done = run(self.program("ninon"), *words, NINON_SERVER=self.api, NINON_TOKEN_FILE=str(self.token))
        if done.returncode != 0:
            raise Problem(f"no token: {done.stderr}")
        self.join(name).write_text(done.stdout)

    def join(self, name):
        return self.folder / f"{name}.token"

    def start_sidecar(self, name, told=False):
        *_, admin = self.addresses(name)
        self.start(f"{name}-sidecar", "ninon-proxy", "run", "--mesh", f"127.0.0.1:{self.port(SECURE_XDS)}", "--token-file", self.join(name),
                   "--workload", name, "--admin-address", admin, "--drain-time", "1", told=told)

    def restart_service(self, name):
        say_command("kill", self.processes.running[name].pid, comment=f"shop {name.rpartition('-')[0]} --name {name}")
        code = self.processes.stop(name)
        check(f"{name} ends well when it is told to", code == 0)
        self.start_service(name, told=True)
        until(START_SECONDS, f"{name} listens", lambda: listens(self.port(WORKLOADS[name][1])))
        say("")

    def ninon(self, *words, expect=0):
        """A command of the operator, shown with what it says."""
        say_command("ninon", *words)
        done = run(self.program("ninon"), *words, NINON_SERVER=self.api, NINON_TOKEN_FILE=str(self.token), NINON_AUTHOR="demo")
        say("".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines()))
        if done.returncode != expect:
            raise Problem(f"ninon {words[0]} ended with {done.returncode}; {self.processes.tail('control-plane')}")
        return done

    def apply(self, file, why):
        self.ninon("apply", "-f", os.path.relpath(HERE / "routes" / file), "-m", why)

    def get(self, tell=False):
        if tell:
            say_command("curl", "-s", self.url)
        answer = run("curl", "-sf", "-m", "10", self.url)
        if tell:
            say(f"  {answer.stdout}\n")
        return answer

    def is_refused(self, name):
        """In plain text nobody gets in."""
        address = self.addresses(name)[0]
        say_command("curl", "-sS", f"http://{address}/")
        answer = run("curl", "-sS", "-m", "10", f"http://{address}/")
        say(f"  {answer.stdout}{answer.stderr}\n")
        check("plain text is refused", answer.returncode != 0)

    def is_denied(self, name, path, why):
        """By way of the caller's sidecar, whose certificate says who asks."""
        address = self.addresses(name)[2]
        words = ("curl", "-si", "-H", "host: cart.shop", f"http://{address}{path}")
        say_command(*words)
        answer = run(*words, "-m", "10")
        shown = [line for line in answer.stdout.splitlines() if line.lower().startswith(("http/", "proxy-status:"))]
        say("".join(f"  {line}\n" for line in shown))
        check(f"{name} is denied {path}", " 403" in answer.stdout.partition("\r\n")[0] and why in answer.stdout)

    def proxies(self):
        """What the control plane says of those that are connected; none if it does not answer."""
        self.processes.check()
        try:
            request = urllib.request.Request(f"{self.api}/api/v1/proxies", headers={"authorization": f"Bearer {self.token.read_text().strip()}"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)["items"]
        except (OSError, urllib.error.URLError):
            return None

    def all_synced(self):
        found = {proxy["id"]: proxy for proxy in self.proxies() or []}
        asked = all({"clusters", "endpoints", "listeners", "routes"} <= {of["type"] for of in proxy["types"]} for proxy in found.values())
        return set(found) == set(WORKLOADS) and asked and all(proxy["synced"] for proxy in found.values())

    def acknowledged(self, kind):
        """The version of this type of resources that each sidecar has."""
        return {proxy["id"]: of["acknowledged"] for proxy in self.proxies() or [] for of in proxy["types"] if of["type"] == kind}

    def say_reached(self, kind, before, began, since):
        def reached():
            now = self.acknowledged(kind)
            return set(now) == set(WORKLOADS) and all(now[name] != before[name] for name in now)

        until(CHANGE_SECONDS, "the change has reached all sidecars", reached, pause=0.002)
        say(f"All six sidecars have it {1000 * (time.monotonic() - began):.0f} ms after {since}.")

    def edit(self, old, new):
        before = self.acknowledged("endpoints")
        file = self.mesh / "cart.yaml"
        say_command("sed", "-i", f"s/{old}/{new}/", file)
        began = time.monotonic()
        done = run("sed", "-i", f"s/{old}/{new}/", file)
        if done.returncode != 0:
            raise Problem(done.stderr)
        say("")
        self.say_reached("endpoints", before, began, "the file was written")

    def start_load(self):
        command = ["shop", "load", "--gateway", self.gateway, "--rate", RATE, "--connections", CONNECTIONS]
        say(f"{CONNECTIONS} connections, {RATE} requests a second, whatever comes back; from here on every answer is counted:")
        say_command(*command)
        say("")
        self.processes.start("load", self.program("shop"), *command[1:], "--every", 100, "--output", "json", output=self.folder / "load.json")
        until(START_SECONDS, "the load has begun", lambda: self.counts()["requests"] > 0)

    def counts(self):
        """What the load has counted from its beginning; its last line may be half written."""
        self.processes.check()
        lines = (self.folder / "load.json").read_text().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        return json.loads(whole[-1]) if whole else {"requests": 0, "failed": 0, "prices": {}, "answered": {}}

    def counts_after(self, requests):
        """The counts when so many more requests are over."""
        before = self.counts()["requests"]

        def counts():
            now = self.counts()
            return now if now["requests"] >= before + requests else None

        return until(COUNT_SECONDS, f"{requests:g} requests are over", counts)

    def look(self, seconds, v2):
        """Counts as many requests as come in some seconds, and tells what share of the prices came from the second version."""
        # What was under way when the last change came has had its answer by then, and the line of it is written.
        first = self.counts_after(RATE / 2)
        last = self.counts_after(seconds * RATE)
        counts = {kind: {name: last[kind][name] - first[kind].get(name, 0) for name in last[kind]} for kind in ("prices", "answered")}
        answers = sum(counts["prices"].values())
        share = 100 * counts["prices"].get("v2", 0) / max(answers, 1)
        carts = " and ".join(f"{count} by {name}" for name, count in sorted(counts["answered"].items()) if name.startswith("cart-"))
        failed = last["failed"] - first["failed"]
        say(f"  {seconds:g} s: {answers} answers, {failed} failures; prices v1 {100 - share:.0f} %, v2 {share:.0f} %; {carts}\n")
        check("traffic goes on", answers > seconds * RATE / 10)
        tolerance = STANDARD_DEVIATIONS * math.sqrt(v2 * (100 - v2) / max(answers, 1))
        check(f"{v2} % of the prices are of v2", abs(share - v2) <= tolerance)
        check("no request failed", failed == 0)
        return counts

    def end_load(self):
        code = self.processes.stop("load", seconds=LOAD_END_SECONDS)
        total = self.counts()
        p50, p99, longest = (total["latency_us"][name] / 1000 for name in ("p50", "p99", "max"))
        say(f"  {total['requests']} requests in {total['seconds']:.0f} s, {total['failed']} failed")
        say(f"  answers: {', '.join(f'{count} x {status}' for status, count in total['statuses'].items())}")
        say(f"  latency, from when a request was due: p50 {p50:g} ms, p99 {p99:g} ms, longest {longest:g} ms; each passes sidecars seven times\n")
        for text, count in total["failures"].items():
            say(f"  {count} x {text}")
        check("no request failed", total["failed"] == 0)
        check("the load ends with 0", code == 0)

    def say_complaints(self):
        """What the programs complained about."""
        for name in self.processes.running:
            lines = [line for line in self.processes.log(name).read_text(errors="replace").splitlines() if "WARN" in line or "ERROR" in line]
            if lines:
                say(f"  {name} complained:\n" + "\n".join(f"    {line}" for line in lines[-5:]))


if __name__ == "__main__":
    sys.exit(main())
