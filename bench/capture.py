#!/usr/bin/env python3
"""`netloom capture` beside tcpdump on the same packets, and what captures and traces cost.

  capture [many] [--pps N...] [--seconds S] [--rounds R]
      50 interfaces of a chain of 24 routers under a load of N packets/s. Taken by turns: netloom capture, one tcpdump
      for each interface, one `tcpdump -i any` for each namespace, and the first two at the same time. Of each: packets
      of the load seen of those sent on every interface, kernel drops, packets captured per second, seconds of processor
      time of all its processes while the load runs and from start to end. Files are read by capinfos, and one of the
      first round by tshark.
  capture overhead [--seconds S] [--rounds R]
      packets/s of a UDP flood, TCP, and the delay of 2,000 packets/s through three routers: without a capture, with
      netloom capture, with a tcpdump for each interface. TCP has a filter that holds for none of it, the others none.
  capture traces [--count N]
      how long a trace takes, as a command and until the API answers: 6 nodes in a row, and 200 routers.

Without a word all three. Exit 1: a file is damaged, or a count is not tcpdump's where neither dropped.
"""
import argparse, collections, glob, http.client, json, os, re, shutil, signal, socket, statistics, struct, subprocess
import sys, tempfile, threading, time

NETLOOM = os.environ.get("NETLOOM", "netloom")
PORT = 5202
RING_KIB = 4096  # as large as netloom's; tcpdump's own is half of it
# Memory where there is such a folder: a disk would be what is measured.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def netloom(*arguments, check=True, timeout=180):
    done = subprocess.run([NETLOOM, *arguments], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        sys.exit(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done


class Lab:
    """h1 ─ r1 ─ … ─ rN ─ h2, one AS each; or a file."""

    def __init__(self, name, routers=0, file=None):
        self.folder = tempfile.mkdtemp(prefix="netloom-bench-", dir=FOLDER)
        self.name, self.captures = name, []
        if not file:
            file = f"{self.folder}/lab.yaml"
            with open(file, "w") as out:
                out.write(self.chain(routers))
        netloom("up", file, "--name", name, "--replace")
        points = self.api("GET", "/v1/capture-points")
        self.points = sorted((p["node"], p["interface"]) for p in points if p["interface"] != "lo")

    def chain(self, count):
        nodes = ["    h1: {kind: host}", "    h2: {kind: host}"]
        nodes += [f"    r{i}: {{kind: router, asn: {64512 + i}, networks: [10.77.{i}.0/24]}}"
                  for i in range(1, count + 1)]
        last = f"[10.77.{count}.2/24], [10.77.{count}.1/24]"
        links = [f'    - {{endpoints: ["r{i}:right", "r{i + 1}:left"], relation: open}}' for i in range(1, count)]
        links += ['    - {endpoints: ["h1:eth1", "r1:left"], addresses: [[10.77.1.2/24], [10.77.1.1/24]]}',
                  f'    - {{endpoints: ["h2:eth1", "r{count}:right"], addresses: [{last}]}}']
        head = [f"name: {self.name}", "addressing: {ipv6: false}", "topology:"]
        return "\n".join([*head, "  nodes:", *nodes, "  links:", *links, ""])

    def api(self, method, path, body=None):
        connection = http.client.HTTPConnection("lab")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"/run/netloom/{self.name}/api.sock")
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text)

    def enter(self, node, *argv):
        return ["ip", "netns", "exec", f"{self.name}.{node}", *argv]

    def down(self):
        for process in [p for capture in self.captures for p, _ in capture.processes]:
            if process.returncode is None:  # something failed while it ran
                process.kill()
                process.wait()
        netloom("down", "--lab", self.name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


# --- captures --------------------------------------------------------------------------------------------------------

def processor_time(pid):
    """Seconds that the threads of a process have run; None when it is gone."""
    total, found = 0, False
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path) as file:
                total, found = total + int(file.read().split()[0]), True
        except (OSError, IndexError):
            pass
    return total / 1e9 if found else None


class Capture:
    """Processes that capture, and the files they write."""

    def __init__(self, lab, filter=None):
        self.lab, self.filter = lab, filter
        self.folder = tempfile.mkdtemp(prefix="capture-", dir=lab.folder)
        self.processes = []     # (process, path of what it says)
        self.total = 0.0
        lab.captures.append(self)

    def start(self, *argv):
        said = f"{self.folder}/{len(self.processes)}.err"
        with open(said, "w") as err:
            self.processes.append((subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=err), said))

    def wait_until_said(self, words, limit=30):
        end = time.monotonic() + limit
        for process, said in self.processes:
            while words not in open(said).read():
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(f"{process.args}: {open(said).read()}")
                time.sleep(0.01)

    def pids(self):
        return [process.pid for process, _ in self.processes]

    def used(self):
        return sum(processor_time(pid) or 0 for pid in self.pids())

    def stop(self):
        for process, _ in self.processes:
            process.send_signal(signal.SIGTERM)  # a shell's background processes do not hear SIGINT
        for process, said in self.processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.total += usage.ru_utime + usage.ru_stime
            if process.returncode != 0:
                raise RuntimeError(f"{process.args}: exit {process.returncode}: {open(said).read()}")
        self.said = "".join(open(said).read() for _, said in self.processes)

    def remove(self):
        shutil.rmtree(self.folder)


class Netloom(Capture):
    label = "netloom capture"

    def __init__(self, lab, filter=None):
        super().__init__(lab, filter)
        self.file = f"{self.folder}/lab.pcapng"
        more = ["-f", filter] if filter else []
        self.start(NETLOOM, "capture", "--lab", lab.name, "-w", self.file, *more)
        self.wait_until_said("capturing on")
        with open(f"/run/netloom/{lab.name}/pid") as file:
            space = os.readlink(f"/proc/{file.read().strip()}/ns/pid")
        self.probe = next(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.is_probe(pid, space))

    @staticmethod
    def is_probe(pid, space):
        """The lab's process that captures: it is the lab's child, not this one's."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            return words[0].endswith(b"netloom-probe") and words[1:2] == [b"capture"] and \
                os.readlink(f"/proc/{pid}/ns/pid") == space
        except OSError:
            return False

    def pids(self):
        return [*super().pids(), self.probe]

    def stop(self):
        # The probe is a child of the lab's: what it used is read until it is gone.
        last = [0.0]

        def watch():
            while (used := processor_time(self.probe)) is not None:
                last[0] = max(last[0], used)
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        super().stop()
        watcher.join()
        self.total += last[0]

    def dropped(self):
        return sum(int(n) for n in re.findall(r" packets, (\d+) dropped", self.said))

    def counts(self):
        return {tuple(name.split(":")): n for name, n in counted(self.file).items()}

    def files(self):
        return [self.file]


class EachInterface(Capture):
    label = "tcpdump each interface"

    def __init__(self, lab, filter=None):
        super().__init__(lab, filter)
        for node, interface in self.pairs():
            self.start(*lab.enter(node, "tcpdump", "-i", interface, "-n", "-Z", "root", "-B", str(RING_KIB), "-w",
                                  f"{self.folder}/{node}.{interface}.pcap", *([filter] if filter else [])))
        self.wait_until_said("listening on")

    def pairs(self):
        return self.lab.points

    def dropped(self):
        return sum(int(n) for n in re.findall(r"(\d+) packets? dropped by kernel", self.said))

    def files(self):
        return [f"{self.folder}/{node}.{interface}.pcap" for node, interface in self.pairs()]

    def counts(self):
        return {pair: sum(counted(file).values()) for pair, file in zip(self.pairs(), self.files())}


class AnyInterface(EachInterface):
    label = "tcpdump -i any each node"

    def pairs(self):
        return [(node, "any") for node in sorted({node for node, _ in self.lab.points})]


def counted(path):
    """Packets of the load in a pcap or pcapng file, for each interface: read here, by another program than wrote it."""
    with open(path, "rb") as file:
        data = file.read()
    return pcapng(data) if data[:4] == b"\x0a\x0d\x0d\x0a" else {"": pcap(data)}


def is_load(data, start, link):
    """A UDP datagram to the port of the load."""
    start += 14 if link == 1 else 20 if link == 276 else 16
    return data[start] == 0x45 and data[start + 9] == 17 and data[start + 22:start + 24] == PORT.to_bytes(2, "big")


def pcap(data):
    if len(data) < 24:
        return 0
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link, place, count = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF, 24, 0
    lengths = struct.Struct(order + "I")
    while place + 16 <= len(data):
        size = lengths.unpack_from(data, place + 8)[0]
        count += size >= 42 and is_load(data, place + 16, link)
        place += 16 + size
    return count


def pcapng(data):
    """The sections that Netloom writes are of this machine's order: little-endian."""
    place, names, counts, head = 0, [], collections.Counter(), struct.Struct("<II")
    while place + 12 <= len(data):
        kind, size = head.unpack_from(data, place)
        if kind == 1:
            names.append(option(data[place + 16:place + size - 4], 2))
            counts[names[-1]] += 0
        elif kind == 6 and struct.unpack_from("<I", data, place + 20)[0] >= 42:
            counts[names[head.unpack_from(data, place + 8)[0]]] += is_load(data, place + 28, 1)
        place += size
    return counts


def option(data, wanted):
    place = 0
    while place + 4 <= len(data):
        code, size = struct.unpack_from("<HH", data, place)
        if code == wanted:
            return data[place + 4:place + 4 + size].decode()
        place += 4 + (size + 3) // 4 * 4
    return ""


def readable(files, with_tshark):
    """What capinfos and tshark have to complain about."""
    done = subprocess.run(["capinfos", "-M", "-c", *files], capture_output=True, text=True)
    told = [int(n) for n in re.findall(r"Number of packets:\s+(\d+)", done.stdout)]
    wrong = []
    if done.returncode or done.stderr.strip():
        wrong.append(f"capinfos: exit {done.returncode}: {done.stderr.strip()[:300]}")
    if len(told) != len(files):
        wrong.append(f"capinfos read {len(told)} of {len(files)} files")
    if with_tshark:
        done = subprocess.run(["tshark", "-n", "-r", files[0], "-T", "fields", "-e", "frame.number"],
                              capture_output=True, text=True)
        lines = done.stdout.count("\n")
        said = "\n".join(l for l in done.stderr.splitlines() if "Running as user" not in l).strip()
        if done.returncode or said or told and lines != told[0]:
            wrong.append(f"tshark: exit {done.returncode}, {lines} of {told[:1]} packets: {said[:300]}")
    return wrong


# --- 50 interfaces ---------------------------------------------------------------------------------------------------

def traffic(lab, pps, seconds, payload=200):
    done = netloom("traffic", "h1", "h2", "--lab", lab.name, "--pps", str(pps), "--payload", str(payload),
                   "--port", str(PORT), "--for", f"{seconds}s", "-o", "json", check=False)
    return json.loads(done.stdout)["result"]


def one_round(lab, kinds, pps, seconds, with_tshark):
    """[{…}] of each kind; several kinds capture at the same time."""
    captures = [kind(lab) for kind in kinds]
    time.sleep(0.3)
    before = [c.used() for c in captures]
    result = traffic(lab, pps, seconds)
    time.sleep(1.3)  # tcpdump is given a block that is not full after a second; ended before, it loses the block
    after = [c.used() for c in captures]
    figures = []
    for capture, used_before, used_after in zip(captures, before, after):
        capture.stop()
        counts = capture.counts()
        points = 2 if isinstance(capture, AnyInterface) else 1
        sent = result["packetsSent"]
        wanted = {pair: sent * (1 if pair[0] in ("h1", "h2") else points) for pair in counts}
        figures.append({
            "label": capture.label, "sent": sent, "received": result["packetsReceived"], "counts": counts,
            "seen": sum(counts.values()), "possible": sum(wanted.values()),
            "odd": {p: n for p, n in counts.items() if n != wanted[p]},
            "dropped": capture.dropped(), "seconds": used_after - used_before, "total": capture.total,
            "rate": sum(counts.values()) / seconds, "wrong": readable(capture.files(), with_tshark),
            "bytes": sum(map(os.path.getsize, capture.files()))})
        capture.remove()
    return figures


def many(options):
    lab, good = Lab("bench-capture", 24), True
    print(f"{len(lab.points)} interfaces of {len({n for n, _ in lab.points})} nodes, {options.seconds} s of load each, "
          f"{options.rounds} rounds, medians")
    try:
        for pps in options.pps:
            good &= at_rate(lab, pps, options)
    finally:
        lab.down()
    return good


def at_rate(lab, pps, options):
    good, found = True, collections.defaultdict(list)
    kinds = [(Netloom,), (EachInterface,), (AnyInterface,), (Netloom, EachInterface)]
    for number in range(options.rounds):
        turn = number % 3
        order = kinds[:3][turn:] + kinds[:3][:turn] + kinds[3:]
        for taken in order:
            figures = one_round(lab, taken, pps, options.seconds, number == 0)
            for one in figures:
                found[one["label"] + (" (both)" if len(taken) > 1 else "")].append(one)
                for text in one["wrong"]:
                    good = False
                    print(f"damaged, {one['label']}: {text}", flush=True)
                if one["odd"] and not one["dropped"] and one["sent"] == one["received"]:
                    good = False
                    print(f"{one['label']}: no drop, all packets arrived, and yet of {one['sent']}: "
                          f"{dict(list(one['odd'].items())[:5])}", flush=True)
            if len(figures) == 2 and not any(f["dropped"] for f in figures):
                ours, theirs = (f["counts"] for f in figures)
                if ours != theirs:
                    good = False
                    pairs = {p: (ours.get(p), n) for p, n in theirs.items() if ours.get(p) != n}
                    print(f"netloom and tcpdump differ: {list(pairs.items())[:5]}", flush=True)
    print(f"\n{pps} packets/s of load")
    print(f"{'':32}{'captured/s':>11}{'seen of sent':>22}{'dropped':>9}{'CPU s':>8}{'with start':>12}{'MB':>8}")
    median = lambda values, key: statistics.median(v[key] for v in values)
    for label, values in found.items():
        seen = f"{sum(v['seen'] for v in values)}/{sum(v['possible'] for v in values)}"
        print(f"{label:32}{median(values, 'rate'):11.0f}{seen:>22}{sum(v['dropped'] for v in values):9}"
              f"{median(values, 'seconds'):8.2f}{median(values, 'total'):12.2f}{median(values, 'bytes') / 1e6:8.1f}",
              flush=True)
    return good


# --- what the forwarding feels ---------------------------------------------------------------------------------------

def overhead(options):
    lab = Lab("bench-capture", 3)
    figures = collections.defaultdict(lambda: collections.defaultdict(list))
    kinds = [None, Netloom, EachInterface]
    name = lambda kind: kind.label if kind else "no capture"
    try:
        for number in range(options.rounds):
            turn = number % 3
            for kind in kinds[turn:] + kinds[:turn]:
                line = figures[name(kind)]
                with capturing(kind, lab, None) as capture:
                    result = traffic(lab, 2000, options.seconds)
                    line["median"].append(result["delay"]["median"] * 1000)
                    line["p99"].append(result["delay"]["p99"] * 1000)
                    line["lost"].append(result["lost"])
                with capturing(kind, lab, None) as capture:
                    line["flood"].append(flood(lab, options.seconds))
                line["dropped"].append(capture.dropped() if capture else 0)
                with capturing(kind, lab, "tcp port 179"):
                    line["tcp"].append(stream(lab, options.seconds))
    finally:
        lab.down()
    print(f"\nthrough 3 routers, {len(lab.points)} interfaces captured, medians of {options.rounds} rounds")
    print(f"{'':28}{'delay us':>10}{'99 %':>9}{'lost':>6}{'flood/s':>10}{'not captured':>14}{'TCP Gbit/s':>12}")
    for label, line in figures.items():
        median = {key: statistics.median(values) for key, values in line.items()}
        print(f"{label:28}{median['median']:10.1f}{median['p99']:9.1f}{sum(line['lost']):6}{median['flood']:10.0f}"
              f"{median['dropped']:14.0f}{median['tcp']:12.2f}")
    return True


class capturing:
    def __init__(self, kind, lab, filter):
        self.capture = kind(lab, filter) if kind else None

    def __enter__(self):
        return self.capture

    def __exit__(self, *_):
        if self.capture:
            self.capture.stop()
            self.capture.remove()


def iperf(lab, *arguments):
    server = subprocess.Popen(lab.enter("h2", "iperf3", "-s", "-1", "--forceflush"), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    while "listening" not in (line := server.stdout.readline()):
        if not line:
            raise RuntimeError("iperf3 does not listen")
    done = subprocess.run(lab.enter("h1", "iperf3", "-c", "10.77.3.2", "-J", *arguments), capture_output=True,
                          text=True)
    server.communicate()
    return json.loads(done.stdout)["end"]


def flood(lab, seconds):
    """Packets/s that arrive of as many as the sender can send."""
    total = iperf(lab, "-u", "-b", "0", "-l", "64", "-t", str(seconds))["sum"]
    return (total["packets"] - total["lost_packets"]) / total["seconds"]


def stream(lab, seconds):
    return iperf(lab, "-t", str(seconds))["sum_received"]["bits_per_second"] / 1e9


# --- traces ----------------------------------------------------------------------------------------------------------

def traces(options):
    chain = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "topologies", "chain-200.yaml")
    print(f"\n{'trace, ms':28}{'command':>9}{'slowest':>9}{'verdict':>9}{'slowest':>9}")
    labs = {"6 nodes": {"routers": 4}, "202 nodes": {"file": chain}}
    for label, kind in labs.items():
        lab = Lab("bench-trace", **kind)
        try:
            for proto in ("icmp", "tcp", "udp"):
                command, verdict = [], []
                for _ in range(options.count):
                    begin = time.monotonic()
                    done = netloom("trace", "h1", "h2", "--lab", lab.name, "--proto", proto, "-o", "json")
                    command.append((time.monotonic() - begin) * 1000)
                    assert json.loads(done.stdout)["reachable"]
                    query = {"from": "h1", "to": "h2", "proto": proto}
                    begin = time.monotonic()
                    answer = lab.api("POST", "/v1/trace", query | ({} if proto == "icmp" else {"port": 8080}))
                    verdict.append((time.monotonic() - begin) * 1000)
                    assert answer["reachable"] and answer["complete"], answer
                print(f"{label + ', ' + proto:28}{statistics.median(command):9.0f}{max(command):9.0f}"
                      f"{statistics.median(verdict):9.0f}{max(verdict):9.0f}", flush=True)
        finally:
            lab.down()
    return True


def main():
    parser = argparse.ArgumentParser(usage="scripts/bench capture [many|overhead|traces] [--pps N...] [--rounds R] …")
    parser.add_argument("what", nargs="?", choices=["many", "overhead", "traces"])
    parser.add_argument("--pps", type=int, nargs="+", default=[1000, 2000], help="of the load in the long chain")
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20, help="traces of each protocol")
    options = parser.parse_args()
    work = {"many": many, "overhead": overhead, "traces": traces}
    chosen = [work[options.what]] if options.what else list(work.values())
    sys.exit(0 if all([each(options) for each in chosen]) else 1)


if __name__ == "__main__":
    main()
