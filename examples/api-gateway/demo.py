#!/usr/bin/env python3
"""Starts the API gateway of envoy.yaml before small services, sends real requests through it and shows what came back.

    python3 demo.py path/to/ninon-proxy          # KEEP=1 in the environment leaves it running until Ctrl-C

Ends with 0 if every answer was the expected one. Needs curl; all processes are on 127.0.0.1 and end with this one.
"""

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tour import FAILED, Problem, Processes, check, interrupt_on_signals, moved_ports, run, say, say_command, section, until, wait_for_interrupt  # noqa: E402

SERVICES = ["catalog:9001", "catalog:9002", "catalog-next:9003", "orders:9004", "reports:9005"]
START_SECONDS, LOG_SECONDS = 20, 15
HEADERS_SHOWN = ["location", "x-served-by", "proxy-status"]


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    for program in ("curl", sys.argv[1]):
        if not shutil.which(program):
            print(f"The demo needs the program {program}.")
            return 1
    interrupt_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="ninon-demo-") as folder, Processes(Path(folder)) as processes:
            gateway = Gateway(Path(sys.argv[1]).resolve(), Path(folder), processes)
            tour(gateway)
            if os.environ.get("KEEP", "") not in ("", "0"):
                keep(gateway)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped")
        return 130
    except Problem as problem:
        print(f"\nThe demo could not go on: {problem}")
        return 1
    if FAILED:
        print(f"\nNot as expected: {'; '.join(FAILED)}")
        return 1
    print("\nEvery answer was as expected; all processes are stopped. `KEEP=1 make demo-gateway` leaves it running for you to try.")
    return 0


def tour(gateway):
    say("Ninon: ninon-proxy as an API gateway", bold=True)
    say(f"""
  curl  ->  ninon-proxy {gateway.base.removeprefix("http://")}  ->  catalog :{gateway.port(9001)} and :{gateway.port(9002)}, its next release :{gateway.port(9003)},
                                           orders :{gateway.port(9004)}, reports :{gateway.port(9005)}; nobody on :{gateway.port(9006)}

  The configuration is an Envoy v3 bootstrap file: examples/api-gateway/envoy.yaml
  The services say what they were asked. Of the answers' headers only those that matter here are shown.
""")

    section("1. Routes: rewrites, a split over two servers, a canary")
    say("/catalog/3 is /items/3 at the service; the two servers take turns:")
    answers = gateway.curl("/catalog/3", "/catalog/4", expect=[r"^HTTP/1.1 200", r'"path": "/items/3"', r'"path": "/items/4"'])
    check("the two servers take turns", len(set(re.findall(r"x-served-by: (\S+)", answers))) == 2)
    say("A regular expression makes a query of a path; the service is called by the name it knows, and does not get the cookie:")
    gateway.curl("/v1/orders/42/lines", "-b", "session=secret", expect=[r'"path": "/orders\?id=42&part=lines"', r'"host": "orders.internal"'], never=["secret"])
    say("Who sends x-canary gets the next release:")
    gateway.curl("/catalog/3", "-H", "x-canary: true", expect=[r'"service": "catalog-next"'])

    section("2. The gateway answers by itself: a redirect, a refusal")
    gateway.curl("/shop/3", expect=[r"^HTTP/1.1 301", r"location: http://\S+/catalog/3\b"])
    gateway.curl("/internal/keys", expect=[r"^HTTP/1.1 403"])

    section("3. Retries: the reports service fails twice of three times, its callers do not see it")
    gateway.curl("/reports/today", expect=[r"^HTTP/1.1 200", r'"service": "reports"'])
    say("The access log (one line of JSON for each request) tells that it took 3 attempts:")
    line = gateway.log_line("/reports/today")
    check("the log tells of 3 attempts", line.get("attempts") == 3 and line.get("status") == 200)

    section("4. A failure explains itself: the Proxy-Status header (RFC 9209)")
    say("Nobody listens where the payments service should be:")
    gateway.curl("/payments/1", expect=[r"^HTTP/1.1 503", r"proxy-status: ninon; error=connection_refused.*flag=UF"])
    say("/slow takes 5 seconds, the route allows half of one:")
    gateway.curl("/slow", expect=[r"^HTTP/1.1 504", r"proxy-status: ninon; error=http_response_timeout.*flag=UT"])
    say("No route matches:")
    gateway.curl("/nothing/here", expect=[r"^HTTP/1.1 404", r"proxy-status: ninon; error=destination_not_found.*flag=NR"])
    say("The flags UF, UT and NR are Envoy's; the log has the same ones:")
    line = gateway.log_line("/payments/1")
    check("the log has the flag UF", line.get("flags") == "UF")

    section("5. Metrics, under Envoy's names, for Prometheus")
    gateway.metrics([
        ("envoy_http_downstream_rq_total", 'envoy_http_conn_manager_prefix="gateway"'),
        ("envoy_http_downstream_rq_xx", 'envoy_http_conn_manager_prefix="gateway"'),
        ("envoy_cluster_upstream_rq_retry", 'envoy_cluster_name="reports"'),
        ("envoy_cluster_upstream_rq_timeout", 'envoy_cluster_name="reports"'),
        ("envoy_cluster_upstream_cx_connect_fail", 'envoy_cluster_name="payments"'),
    ])

    section("6. A wrong file is refused as a whole, every fault with its path")
    gateway.validate_broken()


class Gateway:
    """ninon-proxy and the services behind it."""

    def __init__(self, program, folder, processes):
        self.program, self.folder, self.processes = program, folder, processes
        self.text, self.ports = with_free_ports((HERE / "envoy.yaml").read_text())
        self.base, self.admin = (f"http://127.0.0.1:{self.port(port)}" for port in (8080, 15000))
        services = [f"{name}:{self.port(int(port))}" for name, port in (service.split(":") for service in SERVICES)]
        processes.start("services", sys.executable, HERE.parent / "services.py", *services)
        processes.start("ninon-proxy", program, "run", "-c", self.file("envoy.yaml", self.text), "--drain-time", "1")
        until(START_SECONDS, "ninon-proxy is ready", self.ready)

    def port(self, written):
        """Where the port that stands in the file has gone."""
        return self.ports.get(written, written)

    def file(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def ready(self):
        self.processes.check()
        up = "services are up" in self.processes.log("services").read_text()
        return up and run("curl", "-sf", "-m", "1", f"{self.admin}/ready").returncode == 0

    def curl(self, *words, expect, never=()):
        """Asks for the words that are paths, with the others as options; shows it and notes what was not as expected."""
        words = [self.base + word if word.startswith("/") else word for word in words]
        say_command("curl", "-i", *words)
        answers = run("curl", "-i", "-s", "-m", "10", *words).stdout.replace("\r\n", "\n")
        for answer in re.split(r"^(?=HTTP/)", answers, flags=re.M)[1:]:
            head, _, body = answer.partition("\n\n")
            status, *headers = head.split("\n")
            shown = [status, *(line for line in headers if line.split(":")[0].lower() in HEADERS_SHOWN), *body.strip().splitlines()]
            say("".join(f"  {line}\n" for line in shown).rstrip("\n"))
        say("")
        for pattern in expect:
            check(f"{shlex.join(words)} answers with {pattern}", re.search(pattern, answers, re.M | re.I))
        for text in never:
            check(f"{shlex.join(words)} answers without {text}", text not in answers)
        return answers

    def log_line(self, path):
        """The access log's line of a request; it is written in batches."""
        def find():
            lines = [line for line in self.processes.log("ninon-proxy").read_text().splitlines() if line.startswith("{")]
            return next((entry for entry in map(json.loads, lines) if entry.get("path") == path), None)
        entry = until(LOG_SECONDS, f"the access log has a line of {path}", find)
        say(f"\n  {json.dumps(entry)}\n")
        return entry

    def metrics(self, wanted):
        say_command("curl", f"{self.admin}/stats/prometheus")
        lines = run("curl", "-s", "-m", "10", f"{self.admin}/stats/prometheus").stdout.splitlines()
        for name, label in wanted:
            found = [line for line in lines if line.startswith(name + "{") and label in line]
            check(f"there is a metric {name}{{{label}}}", found)
            say("\n".join(f"  {line}" for line in found))
        say(f"  ... and {len([line for line in lines if line and not line.startswith('#')])} series in all\n")

    def validate_broken(self):
        broken = self.text
        for good, bad in (("cluster: orders\n", "cluster: odrers\n"), ("[0-9]+(/[a-z]", "[0-9+(/[a-z]"), ("max_interval: 0.1s", "max_interval: 0.01s")):
            broken = broken.replace(good, bad)
        say_command("ninon-proxy", "validate", "-c", "broken.yaml", comment="the same file with three slips of the keyboard")
        report = run(self.program, "validate", "-c", self.file("broken.yaml", broken))
        text = report.stdout.replace(str(self.folder) + "/", "").strip()
        say("".join(f"  {line}\n" for line in text.splitlines()) + f"  (exit code {report.returncode})")
        check("validate ends with 1", report.returncode == 1)
        check("validate lists all three faults", "3 faults" in text)


def with_free_ports(text):
    """The file as it is if all its ports are free; else with others in the place of those that are taken."""
    moved = moved_ports({int(port) for port in re.findall(r"port_value: (\d+)", text)})
    return re.sub(r"port_value: (\d+)", lambda found: f"port_value: {moved.get(int(found[1]), found[1])}", text), moved


def keep(gateway):
    say(f"\nStill running: {gateway.base} and the admin page {gateway.admin}. Ctrl-C ends it.", bold=True)
    wait_for_interrupt()


if __name__ == "__main__":
    sys.exit(main())
