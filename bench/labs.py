#!/usr/bin/env python3
"""A chain of n ASes, built and taken away by netloom and by ip(8) with one BIRD per namespace.

Printed per contender and n: seconds until `up` returned, until node 1 pings node n, until `down` returned, and the mean
PSS per node of the processes that were left running.
"""
import json, os, subprocess, sys, tempfile, time

NETLOOM = os.environ["NETLOOM"]


def pss(pids):
    total = 0
    for pid in pids:
        try:
            total += next(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Pss:"))
        except OSError:
            pass
    return total


def descendants(root):
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
        except OSError:
            pass
    out, todo = [], [root]
    while todo:
        pid = todo.pop()
        out.append(pid)
        todo += children.get(pid, [])
    return out


def address(i):
    return f"172.16.{i >> 8}.{i & 255}"


def reached(enter, n, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if subprocess.run([*enter, "ping", "-q", "-c1", "-W0.2", "-t255", "-I", address(1), address(n)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return time.monotonic()
    return float("nan")


def netloom(n, folder):
    name = f"bench-{n}"
    lines = [f"name: {name}", "addressing: {ipv6: false}", "topology:", "  nodes:"]
    lines += [f"    n{i}: {{kind: router, asn: {4200000000 + i}, loopback: [{address(i)}/32], networks: [{address(i)}/32]}}"
              for i in range(1, n + 1)]
    lines += ["  links:"] + [f'    - {{endpoints: ["n{i}:r", "n{i + 1}:l"], relation: open}}' for i in range(1, n)]
    path = f"{folder}/{name}.yaml"
    open(path, "w").write("\n".join(lines) + "\n")
    start = time.monotonic()
    up = subprocess.run([NETLOOM, "up", path, "-o", "json"], capture_output=True, text=True)
    after_up = time.monotonic()
    if up.returncode:
        sys.exit(up.stderr)
    status = json.loads(up.stdout)
    pid = {node["name"]: node["pid"] for node in status["nodes"]}
    answered = reached(["nsenter", f"--net=/proc/{pid['n1']}/ns/net"], n)
    weight = pss(descendants(status["pid"])) / n
    began = time.monotonic()
    subprocess.run([NETLOOM, "down", "--lab", name], check=True, stdout=subprocess.DEVNULL)
    return after_up - start, answered - start, time.monotonic() - began, weight


def bird(n, folder):
    prefix, processes = f"nlb{os.getpid()}x", []
    start = time.monotonic()
    batch = [f"netns add {prefix}{i}" for i in range(1, n + 1)]
    for i in range(1, n):
        batch.append(f"link add name r netns {prefix}{i} type veth peer name l netns {prefix}{i + 1}")
    subprocess.run(["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True)
    for i in range(1, n + 1):
        lines = ["link set lo up", f"address add {address(i)}/32 dev lo"]
        conf = [f"router id {address(i)};", "protocol device {}", "protocol kernel { ipv4 { import none; export all; }; }",
                f"protocol static {{ ipv4; route {address(i)}/32 via \"lo\"; }}"]
        for side, link, far in (("r", i, 2), ("l", i - 1, 1)):
            if 1 <= link < n:
                lines += [f"address add 10.{link >> 8}.{link & 255}.{3 - far}/30 dev {side}", f"link set {side} up"]
                peer = i + 1 if side == "r" else i - 1
                conf.append(f"protocol bgp {side} {{ local as {4200000000 + i}; neighbor 10.{link >> 8}.{link & 255}.{far} as {4200000000 + peer};"
                            " connect delay time 1; connect retry time 1; ipv4 { import all; export all; }; }")
        subprocess.run(["ip", "-n", f"{prefix}{i}", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        subprocess.run(["ip", "netns", "exec", f"{prefix}{i}", "sysctl", "-qw", "net.ipv4.ip_forward=1",
                        "net.ipv4.ip_default_ttl=255"], check=True)
        open(f"{folder}/{i}.conf", "w").write("\n".join(conf) + "\n")
        processes.append(subprocess.Popen(
            ["ip", "netns", "exec", f"{prefix}{i}", "bird", "-f", "-c", f"{folder}/{i}.conf", "-s", f"{folder}/{i}.ctl"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    after_up = time.monotonic()
    answered = reached(["ip", "netns", "exec", f"{prefix}1"], n)
    weight = pss(p.pid for p in processes) / n
    began = time.monotonic()
    for p in processes:
        p.terminate()
    for p in processes:
        p.wait()
    subprocess.run(["ip", "-batch", "-"], input="\n".join(f"netns del {prefix}{i}" for i in range(1, n + 1)), text=True, check=True)
    return after_up - start, answered - start, time.monotonic() - began, weight


def main():
    print(f"{'contender':10} {'n':>4} {'up s':>7} {'ping s':>7} {'down s':>7} {'PSS KiB/node':>13}")
    for n in [int(a) for a in sys.argv[1:]] or [10, 50, 200]:
        for contender in (netloom, bird):
            with tempfile.TemporaryDirectory() as folder:
                up, answered, down, weight = contender(n, folder)
            print(f"{contender.__name__:10} {n:4} {up:7.2f} {answered:7.2f} {down:7.2f} {weight:13.0f}", flush=True)


main()
