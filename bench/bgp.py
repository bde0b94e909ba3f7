#!/usr/bin/env python3
"""One synthetic table through a speaker: a feeder on one side, a monitor on the other, in three namespaces.

Seconds from the first UPDATE written until the monitor has heard every prefix, the speaker's CPU seconds until then, and
its peak memory. Groups of five prefixes share one attribute set, as in the global table.
"""
import ctypes, os, random, socket, struct, subprocess, sys, tempfile, threading, time

NETLOOM = os.environ["NETLOOM"]
PREFIXES = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
MARKER = b"\xff" * 16


def attribute(flags, code, value):
    return struct.pack("!BBB", flags, code, len(value)) + value


def table():
    rng, out, base = random.Random(7), [], 0x01000000
    for group in range(0, PREFIXES, 5):
        path = [64701] + [rng.randrange(1, 400000) for _ in range(rng.randrange(2, 7))]
        attributes = attribute(0x40, 1, b"\0") + attribute(0x40, 2, struct.pack(f"!BB{len(path)}I", 2, len(path), *path))
        attributes += attribute(0x40, 3, socket.inet_aton("10.201.0.1"))
        if rng.random() < 0.6:
            attributes += attribute(0xC0, 8, b"".join(struct.pack("!I", rng.randrange(1 << 32)) for _ in range(rng.randrange(1, 6))))
        nlri = b"".join(b"\x18" + struct.pack("!I", base + (i << 8))[:3] for i in range(group, min(group + 5, PREFIXES)))
        body = struct.pack("!HH", 0, len(attributes)) + attributes + nlri
        out.append(MARKER + struct.pack("!HB", 19 + len(body), 2) + body)
    return b"".join(out)


def session(address, asn, router_id):
    """A socket with an Established session, and what was read past the first KEEPALIVE."""
    while True:
        try:
            s = socket.create_connection((address, 179), 2)
            break
        except OSError:
            time.sleep(0.05)
    s.settimeout(None)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    capabilities = bytes([1, 4, 0, 1, 0, 1, 65, 4]) + struct.pack("!I", asn)
    body = struct.pack("!BHH4sB", 4, asn, 0, socket.inet_aton(router_id), len(capabilities) + 2) + bytes([2, len(capabilities)]) + capabilities
    s.sendall(MARKER + struct.pack("!HB", 19 + len(body), 1) + body + MARKER + struct.pack("!HB", 19, 4))
    buffer = b""
    while True:
        buffer += s.recv(4096)
        while len(buffer) >= 19:
            length, kind = struct.unpack("!HB", buffer[16:19])
            if len(buffer) < length:
                break
            buffer = buffer[length:]
            if kind == 3:
                sys.exit("the speaker sent a NOTIFICATION")
            if kind == 4:
                return s, buffer


def enter(name):
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def monitor(name, ready, done):
    """Counts distinct prefixes of the UPDATEs; writes the time when all were heard. Runs as a child process."""
    enter(name)
    s, buffer = session("10.201.1.254", 64801, "10.201.1.1")
    os.write(ready, b"r")
    heard = set()
    while len(heard) < PREFIXES:
        chunk = s.recv(1 << 20)
        if not chunk:
            os._exit(1)
        buffer += chunk
        position = 0
        while len(buffer) - position >= 19:
            length, kind = struct.unpack_from("!HB", buffer, position + 16)
            if len(buffer) - position < length:
                break
            if kind == 2:
                withdrawn = struct.unpack_from("!H", buffer, position + 19)[0]
                attributes = struct.unpack_from("!H", buffer, position + 21 + withdrawn)[0]
                at, end = position + 23 + withdrawn + attributes, position + length
                while at < end:
                    size = 1 + (buffer[at] + 7) // 8
                    heard.add(buffer[at:at + size])
                    at += size
            position += length
        buffer = buffer[position:]
    os.write(done, struct.pack("!d", time.monotonic()))
    os._exit(0)


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(contender, data):
    ns = {x: f"nlbgp{os.getpid()}{x}" for x in ("feed", "dut", "mon")}
    for name in ns.values():
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for side, net in (("feed", 0), ("mon", 1)):
            subprocess.run(["ip", "link", "add", side, "netns", ns["dut"], "type", "veth", "peer", "name", "e0", "netns", ns[side]], check=True)
            subprocess.run(["ip", "-n", ns["dut"], "addr", "add", f"10.201.{net}.254/24", "dev", side], check=True)
            subprocess.run(["ip", "-n", ns["dut"], "link", "set", side, "up"], check=True)
            subprocess.run(["ip", "-n", ns[side], "addr", "add", f"10.201.{net}.1/24", "dev", "e0"], check=True)
            subprocess.run(["ip", "-n", ns[side], "link", "set", "e0", "up"], check=True)
        with tempfile.TemporaryDirectory() as folder:
            return measure(contender, data, ns, folder)
    finally:
        for name in ns.values():
            subprocess.run(["ip", "netns", "del", name])


def measure(contender, data, ns, folder):
    if contender == "netloom":
        open(f"{folder}/s.yaml", "w").write("""asn: 64600
router-id: 10.201.1.254
fib: false
neighbors:
  - {name: feed, address: 10.201.0.1, asn: 64701, passive: true, families: [ipv4], import: accept, export: reject}
  - {name: mon, address: 10.201.1.1, asn: 64801, passive: true, families: [ipv4], import: reject, export: accept}
""")
        argv = [NETLOOM, "speaker", f"{folder}/s.yaml"]
    else:
        open(f"{folder}/b.conf", "w").write("""router id 10.201.1.254;
protocol device {}
protocol bgp feed { local 10.201.0.254 as 64600; neighbor 10.201.0.1 as 64701; passive; ipv4 { import all; export none; }; }
protocol bgp mon { local 10.201.1.254 as 64600; neighbor 10.201.1.1 as 64801; passive; ipv4 { import none; export all; }; }
""")
        argv = ["bird", "-f", "-c", f"{folder}/b.conf", "-s", f"{folder}/b.ctl"]
    speaker = subprocess.Popen(["ip", "netns", "exec", ns["dut"], *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (ready, tell_ready), (done, tell_done) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        monitor(ns["mon"], tell_ready, tell_done)
    os.read(ready, 1)
    result = []

    def feed():
        enter(ns["feed"])
        s, _ = session("10.201.0.254", 64701, "10.201.0.1")
        before = cpu(speaker.pid)
        start = time.monotonic()
        s.sendall(data)
        seconds = struct.unpack("!d", os.read(done, 8))[0] - start
        peak = next(int(l.split()[1]) for l in open(f"/proc/{speaker.pid}/status") if l.startswith("VmHWM:"))
        result.extend((seconds, cpu(speaker.pid) - before, peak / 1024))

    thread = threading.Thread(target=feed)
    thread.start()
    thread.join()
    os.waitpid(child, 0)
    speaker.terminate()
    speaker.wait()
    return result


def main():
    data = table()
    print(f"{PREFIXES} prefixes\n{'contender':10} {'seconds':>8} {'CPU s':>7} {'RSS MiB':>8}")
    for _ in range(3):
        for contender in os.environ.get("CONTENDERS", "netloom bird").split():
            seconds, used, peak = run(contender, data)
            print(f"{contender:10} {seconds:8.2f} {used:7.2f} {peak:8.0f}", flush=True)


main()
