#!/usr/bin/env python3
"""Many real sidecars in one lab: how long until a change of weights is live on all of them.

  mesh.py [PODS] [ROUNDS]     100 pods and 20 changes unless said; median and slowest, by `mesh split` and `mesh status`
"""
import json, os, statistics, subprocess, sys, tempfile, time

NETLOOM = os.environ["NETLOOM"]
PER_ROUTER = 25


def run(*arguments, check=True):
    done = subprocess.run([NETLOOM, *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done


def topology(pods):
    """Routers in a row, one AS each, with a switch of pods behind each; every other pod runs v2."""
    routers = (pods + PER_ROUTER - 1) // PER_ROUTER
    nodes, links = [], []
    for router in range(1, routers + 1):
        nodes.append(f"    r{router}: {{kind: router, asn: {64500 + router}, networks: [10.77.{router}.0/24]}}")
        nodes.append(f"    s{router}: {{kind: switch}}")
        links.append(f'    - {{endpoints: ["r{router}:pods", "s{router}:up"], addresses: [[10.77.{router}.1/24], []]}}')
        if router > 1:
            links.append(f'    - {{endpoints: ["r{router - 1}:right", "r{router}:left"], relation: open}}')
    for pod in range(pods):
        router, place = pod // PER_ROUTER + 1, pod % PER_ROUTER
        nodes.append(f"    p{pod + 1}: {{kind: pod, service: web, version: v{pod % 2 + 1}}}")
        links.append(f'    - {{endpoints: ["p{pod + 1}:eth1", "s{router}:p{place}"], addresses: [[10.77.{router}.{place + 10}/24], []]}}')
    return "\n".join([
        "name: mesh-bench", "addressing: {ipv6: false}", "topology:", "  nodes:", *nodes, "  links:", *links, "mesh:",
        "  mtls: strict", "  services:", "    web: {port: 80, target: 8080, protocol: http, split: {v1: 1, v2: 1}}", ""])


pods = int(sys.argv[1]) if len(sys.argv) > 1 else 100
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
path = tempfile.mkdtemp(prefix="netloom-bench-") + "/lab.yaml"
with open(path, "w") as file:
    file.write(topology(pods))
began = time.monotonic()
up = run("up", path, "--replace", "--timeout", "300s", check=False)
print(f"{pods} pods, each with a sidecar: up and converged after {time.monotonic() - began:.1f} s (exit {up.returncode})")
try:
    if up.returncode:
        sys.exit(up.stderr + up.stdout)
    live, commands, spread = [], [], []
    for number in range(rounds):
        began = time.monotonic()
        change = json.loads(run("mesh", "split", "mesh-bench/web", f"v1={90 - number}", f"v2={10 + number}", "-o", "json").stdout)
        commands.append((time.monotonic() - began) * 1000)
        live.append(change["ms"])
        assert change["current"] == pods and not change["refused"] + change["lagging"] + change["absent"], change
        routes = [t for s in json.loads(run("mesh", "status", "--lab", "mesh-bench", "-o", "json").stdout)["sidecars"]
                  for t in s["types"] if t["type"] == "RDS"]
        assert len(routes) == pods and len({t["acknowledged"] for t in routes}) == 1
        spread.append((max(t["acknowledgedAt"] for t in routes) - min(t["sentAt"] for t in routes)) / 1e6)
    for name, times in [("live on all, by mesh split", live), ("first push to last ACK, by mesh status", spread),
                        ("the whole command", commands)]:
        print(f"{name}: median {statistics.median(times):.1f} ms, slowest of {rounds} {max(times):.1f} ms")
    memory = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/comm") as file:
                if entry.isdigit() and file.read().strip() == "netloom-sidecar":
                    with open(f"/proc/{entry}/smaps_rollup") as rollup:
                        memory += [int(line.split()[1]) for line in rollup if line.startswith("Pss:")]
        except OSError:
            continue
    if memory:
        print(f"memory of a sidecar (PSS): median {statistics.median(memory) / 1024:.1f} MiB")
finally:
    run("down", "--lab", "mesh-bench", check=False)
