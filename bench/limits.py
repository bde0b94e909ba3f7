#!/usr/bin/env python3
"""Whether `netloom rate` tells a shaper from a policer when both let the same through.

  limits [RUNS] [--seed S] [--rate MBIT] [--keep DIR]

Each run is a lab made from one seed: a chain of three routers, the limit at one of them. The rate (1 to 50 Mbit/s
unless --rate holds it), the delay of a link, the mtu of the first link (and with it the size of datagrams), the family,
what is offered (1.5 to 2 times the rate) and the load beside it (through the same limit, the other way, or none) differ
by seed. In the same lab a policer, then a shaper are put on by a change, and measured with UDP and with TCP. A shaper
whose goodput is not within 5 % of its policer's is changed and measured again, and every verdict counts. UDP that keeps
below the limit must be limited by neither. A stream may take longer to reach a limit than it is measured: where it has
less than 80 % of what the limit leaves it, and nftables' own counters say that the policer took less than 0.5 % of it,
nothing is known of what limited it, only that it was not the other kind, and it is measured again for twice the time.

Right: the kind of limit and its place are those of the change. Exit 1: a verdict was wrong.
"""
import argparse, collections, json, math, os, random, re, shutil, statistics, subprocess, sys, tempfile, time

NETLOOM = os.environ.get("NETLOOM", "netloom")
CLOSE = 0.05
ATTEMPTS = 4


def netloom(*arguments):
    done = subprocess.run([NETLOOM, *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done


class Scene:
    """What one seed decides."""

    def __init__(self, seed, rate):
        rand = random.Random(seed)
        self.seed, self.name = seed, f"limits-{seed}"
        drawn = round(math.exp(rand.uniform(0, math.log(50))), 2)
        self.rate = rate or drawn
        self.offer = round(self.rate * rand.uniform(1.5, 2), 3)
        self.mtu = rand.choice([1500, 1500, rand.randint(600, 1499)])
        self.delayed, self.delay = rand.randint(1, 3), rand.choice([0, rand.randint(1, 40)])
        self.family = rand.choice(["ipv4", "ipv4", "ipv6"])
        if self.family == "ipv6":
            self.mtu = max(self.mtu, 1280)  # RFC 8200 section 5
        self.has_six = self.mtu >= 1280
        self.beside = rand.choice(["nothing", "nothing", "through", "against"])
        self.load = round(self.rate * rand.uniform(0.05, 0.25), 3)
        self.policer = rand.choice(["r2:left", "r3:left"] + ([] if self.beside == "through" else ["r1:left"]))
        self.shaper = rand.choice(["r1:right", "r2:right", "r3:right"])

    def text(self):
        delays = {number: f", delay: {self.delay}ms" for number in [self.delayed] if self.delay}
        six = lambda number, rest="": f', "2001:db8:{number}::{rest}/64"' if self.has_six else ""
        pair = lambda number, one, two: (f"addresses: [[10.77.{number}.{one}/24{six(number, one)}], "
                                         f"[10.77.{number}.{two}/24{six(number, two)}]]")
        return "\n".join([
            f"name: {self.name}", f"addressing: {{ipv6: {str(self.has_six).lower()}}}", "defaults: {congestion: cubic}",
            "topology:", "  nodes:",
            "    src: {kind: host}", "    side: {kind: host}", "    dst: {kind: host}",
            f"    r1: {{kind: router, asn: 64601, networks: [10.77.1.0/24, 10.77.2.0/24{six(1)}{six(2)}]}}",
            "    r2: {kind: router, asn: 64602}",
            f"    r3: {{kind: router, asn: 64603, networks: [10.77.3.0/24{six(3)}]}}",
            "  links:",
            f'    - {{endpoints: ["src:eth1", "r1:left"], mtu: {self.mtu}, {pair(1, 2, 1)}}}',
            f'    - {{endpoints: ["side:eth1", "r1:side"], {pair(2, 2, 1)}}}',
            f'    - {{endpoints: ["r1:right", "r2:left"], relation: open{delays.get(1, "")}}}',
            f'    - {{endpoints: ["r2:right", "r3:left"], relation: open{delays.get(2, "")}}}',
            f'    - {{endpoints: ["r3:right", "dst:eth1"], {pair(3, 1, 2)}{delays.get(3, "")}}}', ""])

    def words(self):
        beside = "" if self.beside == "nothing" else f", {self.load} Mbit/s {self.beside} beside it"
        return (f"{self.rate} Mbit/s, offered {self.offer}, mtu {self.mtu}, {self.delay} ms on link {self.delayed}, "
                f"{self.family}{beside}")


class Run:
    def __init__(self, scene, keep):
        self.scene, self.keep = scene, keep
        self.folder = tempfile.mkdtemp(prefix="netloom-bench-")
        self.loads = []
        self.verdicts = []  # (kind, transport, word, result)
        self.current = None
        self.unclear = 0

    def file(self, name, text):
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)
        return f"{self.folder}/{name}"

    def go(self):
        """[(transport, policed Mbit/s, shaped Mbit/s)]"""
        scene, pairs = self.scene, []
        netloom("up", self.file("lab.yaml", scene.text()), "--replace")
        try:
            for transport in ("udp", "tcp"):
                self.limit("police", scene.rate)
                policed = self.measure("policing", scene.policer, transport, scene.rate)
                if transport == "udp":
                    self.measure("none", None, transport)
                rate, best = scene.rate, None
                for _ in range(ATTEMPTS):
                    self.limit("shape", rate)
                    shaped = self.measure("shaping", scene.shaper, transport, rate)
                    if best is None or abs(shaped - policed) < abs(best - policed):
                        best = shaped
                    if abs(shaped - policed) < CLOSE * policed:
                        break
                    # Headers take a few percent of what is added, too.
                    rate = max(0.2, rate + (policed - shaped) * 1.05)
                if transport == "udp":
                    self.measure("none", None, transport)
                pairs.append((transport, policed, best))
        finally:
            netloom("down", "--lab", scene.name)
            if all(word == "right" for _, _, word, _ in self.verdicts):
                shutil.rmtree(self.folder)
        return pairs

    def limit(self, kind, rate):
        """The other limit goes with the same change."""
        scene, nodes = self.scene, collections.defaultdict(list)
        node, port = (scene.policer if kind == "police" else scene.shaper).split(":")
        rule = f"ingress: {{police: {{rate: {round(rate * 1000)}kbit}}}}"
        if kind == "shape":
            rule = f"egress: {{shape: {{rate: {round(rate * 1000)}kbit}}}}"
        nodes[node].append(f"{{{port}: {{{rule}}}}}")
        if self.current and self.current != node:
            nodes[self.current].append("null")
        lines = [f"    {name}: {{qos: {values[0]}}}" for name, values in nodes.items()]
        path = self.file("change.yaml", "\n".join(["topology:", "  nodes:", *lines, ""]))
        result = json.loads(netloom("apply", path, "--lab", scene.name, "-o", "json").stdout)
        if not result["applied"]:
            raise RuntimeError(f"the limit could not be put on: {result}")
        self.current = node

    def load(self, source, target, mbit, seconds, port):
        self.loads.append(subprocess.Popen(
            [NETLOOM, "traffic", source, target, "--lab", self.scene.name, "--rate", f"{round(mbit * 1000)}kbit",
             "--payload", "1000", "--family", self.scene.family, "--for", f"{seconds}s", "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def policed(self):
        """Bytes that the policer passed and dropped, as nft counts them."""
        node = self.scene.policer.split(":")[0]
        text = subprocess.run(["ip", "netns", "exec", f"{self.scene.name}.{node}", "nft", "list", "ruleset"],
                              capture_output=True, text=True, check=True).stdout
        dropped = sum(map(int, re.findall(r"limit rate over .* counter packets \d+ bytes (\d+) drop", text)))
        return sum(map(int, re.findall(r"counter packets \d+ bytes (\d+) comment \"police", text))), dropped

    def measure(self, kind, place, transport, limit=None):
        """Mbit/s of payload received; `limit` is the one that is on, None where the flow keeps below it."""
        for attempt in range(ATTEMPTS):
            seconds = 3 if limit is None else 4 if transport == "udp" else 8 << min(attempt, 1)
            mbit = self.measured(kind, place, transport, limit, seconds)
            if mbit is not None:
                return mbit
            self.unclear += 1
        raise RuntimeError(f"the stream does not reach {kind} at {place}")

    def measured(self, kind, place, transport, limit, seconds):
        """None: the stream did not reach its limit."""
        scene = self.scene
        if limit is not None:
            # nftables keeps up to a second of a policer's rate for later: it is used up before, so that goodput is the
            # rate's. A shaper is treated alike. Datagrams begin before that ends; a stream would take it for the limit.
            source = "src" if kind == "policing" and scene.policer == "r1:left" else "side"
            self.load(source, "dst", 3 * scene.rate, 2, 5301)
            if transport == "udp":
                time.sleep(1.6)
            else:
                self.loads[0].wait()
        if scene.beside == "through":
            self.load("side", "dst", scene.load, seconds + 1, 5302)
        elif scene.beside == "against":
            self.load("dst", "side", scene.load, seconds + 1, 5303)
        before = self.policed()
        offered = round(1000 * (0.6 * scene.rate if limit is None else scene.offer))
        offer = ["--rate", f"{offered}kbit"] if transport == "udp" else []
        evidence = tempfile.mkdtemp(prefix=f"{len(self.verdicts):02}-{kind}-{transport}-", dir=self.folder)
        done = netloom("rate", "src", "dst", "--lab", scene.name, "--proto", transport, "--family", scene.family,
                       *offer, "--for", f"{seconds}s", "--pcap", evidence, "-o", "json")
        failed = [load.args for load in self.loads if load.wait() != 0]
        self.loads = []
        if failed:
            raise RuntimeError(f"the load beside it could not run: {' '.join(failed[0])}")
        with open(f"{evidence}/rate.json", "w") as file:
            file.write(done.stdout or done.stderr)
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"rate: exit {done.returncode}: {done.stderr.strip()}") from None
        if transport == "tcp":
            passed, dropped = (after - one for after, one in zip(self.policed(), before))
            left = limit - (scene.load if scene.beside == "through" else 0)
            unclear = result["mbit"] < 0.8 * left and dropped < 0.005 * (passed + dropped)
            if unclear and result.get("limitedBy") in (None, "none", kind):
                shutil.rmtree(evidence)
                return None
        self.verdicts.append((kind, transport, self.word(kind, place, transport, result, evidence), result))
        return result["mbit"]

    def word(self, kind, place, transport, result, evidence):
        word = "right"
        if result.get("undecided") or not result.get("limitedBy") or not result["complete"]:
            word = "undecided"
        elif result["limitedBy"] != kind or (result.get("place") or None) != place:
            word = "wrong"
        if word == "right":
            shutil.rmtree(evidence)
        else:
            because = result.get("undecided") or result["because"]
            print(f"seed {self.scene.seed}: {kind} at {place}, {transport}: {word}: {result.get('limitedBy')} at "
                  f"{result.get('place')}, {result['mbit']:.2f} Mbit/s; {because}; {evidence}", flush=True)
        return word


def main():
    parser = argparse.ArgumentParser(usage="scripts/bench limits [RUNS] [--seed S] [--rate MBIT] [--keep DIR]")
    parser.add_argument("runs", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones follow")
    parser.add_argument("--rate", type=float, help="Mbit/s of every limit, instead of one by seed")
    parser.add_argument("--keep", default=tempfile.gettempdir(), help="where verdicts that are not right are kept")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each run")
    options = parser.parse_args()
    os.makedirs(options.keep, exist_ok=True)
    tempfile.tempdir = options.keep
    counts, differences, broken, unclear = collections.Counter(), collections.defaultdict(list), 0, 0
    for number in range(options.runs):
        scene = Scene(options.seed + number, options.rate)
        run = Run(scene, options.keep)
        try:
            pairs = run.go()
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            broken, pairs = broken + 1, []
            print(f"seed {scene.seed}: could not be run: {error}", flush=True)
        unclear += run.unclear
        for kind, transport, word, _ in run.verdicts:
            counts[(kind, transport, word)] += 1
        for transport, policed, shaped in pairs:
            differences[transport].append(abs(shaped - policed) / policed if policed else math.inf)
        if options.verbose:
            goodput = ", ".join(f"{t} policed {p:.2f} shaped {s:.2f}" for t, p, s in pairs)
            print(f"seed {scene.seed}: {scene.words()}: {goodput} Mbit/s; "
                  f"{sum(v[2] == 'right' for v in run.verdicts)} of {len(run.verdicts)} right", flush=True)
    print(f"{'limit':10}{'':6}{'right':>8}{'wrong':>8}{'undecided':>11}")
    for row in ("policing", "udp"), ("shaping", "udp"), ("none", "udp"), ("policing", "tcp"), ("shaping", "tcp"):
        right, wrong, undecided = (counts[(*row, word)] for word in ("right", "wrong", "undecided"))
        print(f"{row[0]:10}{row[1]:6}{right:8}{wrong:8}{undecided:11}")
    for transport, values in differences.items():
        print(f"{transport}: goodput of policer and shaper within {CLOSE:.0%} in {sum(v < CLOSE for v in values)} of "
              f"{len(values)} pairs, median difference {statistics.median(values):.1%}")
    if unclear:
        print(f"{unclear} streams did not reach the limit in time, and were measured again")
    if broken:
        print(f"{broken} of {options.runs} runs could not be carried out")
    sys.exit(1 if broken or any(word == "wrong" for _, _, word in counts) else 0)


if __name__ == "__main__":
    main()
