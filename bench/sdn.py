#!/usr/bin/env python3
"""The controller's changes, measured and attacked on this machine.

  apply [NODES]   one change on all nodes at once: time, and what an unrelated flow of 1,000 packets/s through them loses
                  over 20 applies, 20 rollbacks and one repair
  rates           shaping and policing at 1, 10 and 100 Mbit/s, and what a voice class spares voice on a full link
  voice [SVG]     one-way delay of a call over a shaped link: idle, full without a class, full with one; drawn into SVG
  kill [RUNS]     an agent, a node or the controller is killed at a random moment of an apply; afterwards every node must
                  be in the same whole version, byte by byte, and history must say which
"""
import json, os, random, re, signal, statistics, subprocess, sys, tempfile, threading, time

NETLOOM = os.environ["NETLOOM"]


def run(*arguments, check=True, **more):
    done = subprocess.run([NETLOOM, *arguments], capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        sys.exit(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done


def inside(lab, node, *argv, check=True):
    return subprocess.run(["ip", "netns", "exec", f"{lab}.{node}", *argv], capture_output=True, text=True, check=check)


class Lab:
    def __init__(self, name, text):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="netloom-bench-")
        self.path = self.file("lab.yaml", f"name: {name}\n{text}")
        run("up", self.path, "--replace")

    def file(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def status(self):
        return json.loads(run("status", "--lab", self.name, "-o", "json").stdout)

    def history(self):
        return json.loads(run("history", "--lab", self.name, "-o", "json").stdout)

    def down(self):
        run("down", "--lab", self.name, check=False)


def chain(count):
    """h1 ─ r1 ─ … ─ rN ─ h2, one AS each."""
    nodes = ["    h1: {kind: host}", "    h2: {kind: host}"]
    nodes += [f"    r{i}: {{kind: router, asn: {64512 + i}, networks: [10.77.{i}.0/24]}}" for i in range(1, count + 1)]
    links = [f'    - {{endpoints: ["r{i}:right", "r{i + 1}:left"], relation: open}}' for i in range(1, count)]
    links += ['    - {endpoints: ["h1:eth1", "r1:left"], addresses: [[10.77.1.2/24], [10.77.1.1/24]]}',
              f'    - {{endpoints: ["h2:eth1", "r{count}:right"], addresses: [[10.77.{count}.2/24], [10.77.{count}.1/24]]}}']
    return "\n".join(["addressing: {ipv6: false}", "topology:", "  nodes:", *nodes, "  links:", *links]) + "\n"


def change(names, number):
    """On every node: a translation and a filter that the flow does not meet, another each time."""
    lines = ["topology:", "  nodes:"]
    for name in names:
        lines += [f"    {name}:",
                  f"      nat: [{{masquerade: {{out: right, from: 10.99.{number % 250}.0/24}}}}]",
                  f"      filter: [{{match: {{in: left, proto: tcp, port: {10000 + number}}}, then: drop}}, {{otherwise: accept}}]"]
    return "\n".join(lines) + "\n"


SENDER = """
import socket, struct, time, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n, start = 0, time.monotonic()
open(sys.argv[2], "w").close()
import os
while not os.path.exists(sys.argv[3]):
    due = start + n / 1000
    now = time.monotonic()
    if now < due: time.sleep(due - now)
    s.sendto(struct.pack("!I", n) + bytes(60), (sys.argv[1], 7777)); n += 1
print(n)
"""
RECEIVER = """
import socket, struct, sys, os
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(("0.0.0.0", 7777)); s.settimeout(0.5)
seen = set()
open(sys.argv[1], "w").close()
while True:
    try: seen.add(struct.unpack("!I", s.recv(100)[:4])[0])
    except TimeoutError:
        if os.path.exists(sys.argv[2]): break
print(len(seen))
"""


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def apply(count=50):
    lab = Lab("bench-apply", chain(count))
    names = [f"r{i}" for i in range(1, count + 1)]
    try:
        stop, ready, sending = (f"{lab.folder}/{x}" for x in ("stop", "ready", "sending"))
        enter = lambda node: ["ip", "netns", "exec", f"{lab.name}.{node}", sys.executable, "-c"]
        receiver = subprocess.Popen([*enter("h2"), RECEIVER, ready, stop], stdout=subprocess.PIPE, text=True)
        wait_for(ready)
        sender = subprocess.Popen([*enter("h1"), SENDER, f"10.77.{count}.2", sending, stop], stdout=subprocess.PIPE, text=True)
        wait_for(sending)
        applies, rollbacks, wall = [], [], []
        for number in range(1, 21):
            path = lab.file(f"change{number}.yaml", change(names, number))
            begin = time.monotonic()
            result = json.loads(run("apply", path, "--lab", lab.name, "-o", "json").stdout)
            wall.append((time.monotonic() - begin) * 1000)
            assert result["applied"], result
            applies.append(result["milliseconds"])
        for _ in range(20):
            rollbacks.append(json.loads(run("rollback", "--lab", lab.name, "-o", "json").stdout)["milliseconds"])
        inside(lab.name, "r3", "nft", "add", "rule", "inet", "netloom", "forward", "tcp", "dport", "1", "counter")
        repair = run("drift", "--repair", "--lab", lab.name, check=False)
        time.sleep(0.2)
        open(stop, "w").close()
        sent, received = int(sender.communicate()[0]), int(receiver.communicate()[0])
        print(f"{count} nodes  apply median {statistics.median(applies):.0f} ms, slowest {max(applies):.0f} ms "
              f"(command {statistics.median(wall):.0f} ms); rollback median {statistics.median(rollbacks):.0f} ms")
        print(f"unrelated flow: {sent} packets sent, {sent - received} lost; repair exit {repair.returncode}")
        rules = "\n".join(f"        - {{match: {{from: 10.{i >> 8}.{i & 255}.0/24, proto: tcp, port: {1 + i}}}, then: drop}}" for i in range(2000))
        path = lab.file("many.yaml", f"topology:\n  nodes:\n    r2:\n      filter:\n{rules}\n        - {{otherwise: accept}}\n")
        result = json.loads(run("apply", path, "--lab", lab.name, "-o", "json").stdout)
        print(f"2,000 rules on one node: apply {result['milliseconds']:.0f} ms")
        return sent == received
    finally:
        lab.down()


def rates():
    good = True
    for kind in ("shape", "police"):
        for rate, burst in ((1, None), (10, None), (100, None)):
            qos = (f"egress: {{shape: {{rate: {rate}mbit}}}}" if kind == "shape" else f"ingress: {{police: {{rate: {rate}mbit}}}}")
            port = "eth2" if kind == "shape" else "eth1"
            lab = Lab("bench-rates", f"""topology:
  nodes:
    a: {{kind: host}}
    b: {{kind: host}}
    r: {{kind: router, qos: {{{port}: {{{qos}}}}}}}
  links:
    - {{endpoints: ["a:eth1", "r:eth1"]}}
    - {{endpoints: ["r:eth2", "b:eth1"]}}
""")
            try:
                proto = "tcp" if kind == "shape" else "udp"
                offer = [] if kind == "shape" else ["--rate", f"{2 * rate}mbit"]
                result = json.loads(run("rate", "a", "b", "--lab", lab.name, "--proto", proto, *offer, "--for", "10s", "-o", "json").stdout)
                settled = sum(i["bytes"] for i in result["intervals"][10:]) * 8 / 1e5 / max(1, len(result["intervals"][10:]))
                print(f"{kind:6} {rate:3} Mbit/s {proto}: {result['mbit']:7.3f} Mbit/s, after the first second {settled:7.3f}; "
                      f"limited by {result.get('limitedBy')} at {result.get('place')}; {result['because']}")
                good &= result.get("limitedBy") == {"shape": "shaping", "police": "policing"}[kind]
            finally:
                lab.down()
    return good


FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    s.sendto(bytes(1000), ("10.78.2.2", 9)); time.sleep(0.0004)
"""


def voice(path="voice-latency.svg"):
    lab = Lab("bench-voice", """addressing: {ipv6: false}
topology:
  nodes:
    a: {kind: host}
    b: {kind: host}
    r:
      kind: router
      qos: {eth2: {egress: {shape: {rate: 10mbit}, classes: [{name: voice, match: {dscp: ef}, rate: 2mbit, ceil: 10mbit, priority: 1}]}}}
  links:
    - {endpoints: ["a:eth1", "r:eth1"], addresses: [[10.78.1.2/24], [10.78.1.1/24]]}
    - {endpoints: ["r:eth2", "b:eth1"], addresses: [[10.78.2.1/24], [10.78.2.2/24]]}
""")
    lines = {}

    def call(label, *more):
        result = json.loads(run("rate", "a", "b", "--lab", lab.name, "--proto", "udp", "--rate", "500kbit", "--for", "4s",
                                "-o", "json", *more).stdout)
        lines[label] = [i["delayMs"] for i in result["intervals"]]
        lost = result["packetsSent"] - result["packetsReceived"]
        print(f"{label:24} delay median {result['delay']['median']:.2f} ms, p99 {result['delay']['p99']:.2f} ms, {lost} of {result['packetsSent']} lost")
        return result["delay"]["median"]

    try:
        idle = call("link idle")
        flood = subprocess.Popen(["ip", "netns", "exec", f"{lab.name}.a", sys.executable, "-c", FLOOD])
        time.sleep(1)  # the queue fills
        try:
            without, classed = call("link full, no class"), call("link full, class voice", "--dscp", "ef")
        finally:
            flood.kill()
            flood.wait()
        draw(path, lines)
        return classed < idle + 5 < without
    finally:
        lab.down()


def draw(path, lines):
    width, height, left, bottom = 640, 300, 50, 40
    top = max(max(values) for values in lines.values()) * 1.1
    count = max(len(values) for values in lines.values())
    x = lambda i: left + i * (width - left - 20) / max(1, count - 1)
    y = lambda v: height - bottom - v * (height - bottom - 20) / top
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<path d="M{left},20V{height - bottom}H{width - 20}" fill="none" stroke="black"/>',
           f'<text x="{left}" y="14">one-way delay of a 500 kbit/s call, ms, over a link shaped to 10 Mbit/s</text>',
           f'<text x="{width - 20}" y="{height - 10}" text-anchor="end">seconds</text>']
    for tick in range(0, int(top) + 1, 10 if top > 20 else 1):
        out.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for second in range(0, count // 10 + 1):
        out.append(f'<text x="{x(second * 10):.1f}" y="{height - bottom + 16}" text-anchor="middle">{second}</text>')
    for (label, values), colour in zip(lines.items(), ("#2a7", "#c33", "#36c")):
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{width - 24}" y="{y(values[-1]) - 6:.1f}" text-anchor="end" fill="{colour}">{label}</text>')
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n</svg>\n")


def ruleset(lab, node):
    text = inside(lab, node, "nft", "-s", "list", "ruleset").stdout
    return text + inside(lab, node, "ip", "rule").stdout + inside(lab, node, "tc", "qdisc", "show").stdout


def kill_matrix(runs=200):
    count = 4
    lab = Lab("bench-kill", chain(count))
    names = [f"r{i}" for i in range(1, count + 1)]
    known, bad, tally = {}, 0, {}
    try:
        for number in range(1, runs + 1):
            version = next(v["version"] for v in lab.history() if v["current"])
            path = lab.file("change.yaml", change(names, number))
            status = lab.status()
            target = random.choice(("agent", "controller", "node"))
            name = random.choice(names)
            began = subprocess.Popen([NETLOOM, "apply", path, "--lab", lab.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(random.uniform(0, 0.12))
            if target == "controller":
                os.kill(status["controller"]["pid"], signal.SIGKILL)
            elif target == "agent":
                os.kill(next(n["pid"] for n in status["nodes"] if n["name"] == name), signal.SIGKILL)
            else:
                run("fault", "kill", name, "--lab", lab.name, check=False)
            output, errors = began.communicate(timeout=60)
            if target == "node":
                deadline = time.monotonic() + 20
                while run("fault", "start", name, "--lab", lab.name, check=False).returncode and time.monotonic() < deadline:
                    time.sleep(0.1)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                answer = run("status", "--lab", lab.name, "-o", "json", check=False)
                if answer.returncode == 0 and json.loads(answer.stdout)["converged"]:
                    break
                time.sleep(0.05)
            current = next(v for v in lab.history() if v["current"])
            marks = {}
            for node in names:
                text = ruleset(lab.name, node)
                found = re.findall(r"dport (1\d{4}) ", text)
                marks[node] = found
                key = (node, tuple(found))
                if known.setdefault(key, text) != text:
                    print(f"run {number}: {node} is not what it was in the same version")
                    bad += 1
            same = len({tuple(x) for x in marks.values()}) == 1
            moved = current["version"] > version
            expected = marks[names[0]] == [str(10000 + number)] if moved else marks[names[0]] != [str(10000 + number)]
            if not same or not expected or (began.returncode == 0) != moved and target != "controller":
                bad += 1
                print(f"run {number}: {target} {name}: exit {began.returncode}, version {version} -> {current['version']}, {marks}\n{errors}")
            tally[(target, "applied" if moved else "nothing changed")] = tally.get((target, "applied" if moved else "nothing changed"), 0) + 1
            drift = run("drift", "--lab", lab.name, check=False)
            if drift.returncode != 0:
                bad += 1
                print(f"run {number}: drift\n{drift.stdout}{drift.stderr}")
        for (target, outcome), times in sorted(tally.items()):
            print(f"{target:10} {outcome:16} {times}")
        print(f"{runs} runs, {bad} bad")
        return bad == 0
    finally:
        lab.down()


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "apply"
    work = {"apply": apply, "rates": rates, "voice": voice, "kill": kill_matrix}.get(what)
    if not work:
        sys.exit(__doc__)
    sys.exit(0 if work(*(int(word) if word.isdigit() else word for word in sys.argv[2:])) else 1)
