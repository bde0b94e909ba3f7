#!/usr/bin/env python3
"""Verdicts of `netloom trace` against what tcpdump printed on every interface at the same time.

  paths [LABS] [--seed S] [--traces N] [--jobs N] [--keep DIR]

Each lab is a random topology made from one seed: 4-12 routers, relations or policies, several routers in one AS, static
routes that part the two ways, translation, equal paths, filters, routers that lose packets, links that go down, shared segments. In each lab a few
random flows are traced (ICMP, TCP, UDP; IPv4, IPv6). The oracle shares no code and no method with the product: it reads
the text of one `tcpdump -i any` per node, joins packets by what tcpdump prints (ICMP and UDP: the payload; TCP: flags
and numbers), and orders them by the links of the file. Compared: reachable, both paths and every alternative with its
packets, the interfaces of every hop, rewritten addresses and ports, symmetric, where lost packets were last seen, who
sent ICMP errors, and where packets ended.

Exit 0: no verdict is wrong, and each undecided one says why. Failures keep topology, verdict and tcpdump's text in DIR.
"""
import argparse, collections, concurrent.futures, ipaddress, json, os, random, re, shutil, signal, subprocess, sys, time

NETLOOM = os.environ.get("NETLOOM", "netloom")


def netloom(*arguments, timeout=90):
    return subprocess.run([NETLOOM, *arguments], capture_output=True, text=True, timeout=timeout)


# --- topologies ------------------------------------------------------------------------------------------------------

class Lab:
    """A random topology; `text` is its file."""

    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.name = f"paths-{seed}"
        self.links = []     # ((node, interface), (node, interface))
        self.lines = []
        self.ports = collections.Counter()
        self.switches = []
        self.hosts = {}     # name → router
        self.nats = {}      # router → [(kind, address)]
        self.drops = {}     # router → (proto, verb)
        self.make()

    def port(self, node):
        self.ports[node] += 1
        return f"eth{self.ports[node]}"

    def make(self):
        rand = self.random
        count = rand.randint(4, 12)
        self.routers = [f"r{i}" for i in range(1, count + 1)]
        self.style = rand.choice(["open", "valley-free", "valley-free", "policies"])
        self.equal = self.style == "open" and rand.random() < 0.6
        asn = {name: 64600 + i for i, name in enumerate(self.routers, 1)}
        if rand.random() < 0.35:  # two neighbors in one AS
            first = rand.randrange(count - 1)
            asn[self.routers[first + 1]] = asn[self.routers[first]]
        self.asn = asn
        neighbors = collections.defaultdict(dict)
        self.make_links(rand, neighbors)
        for number in range(rand.randint(2, 3)):
            self.hosts[f"h{number + 1}"] = None
        places = rand.sample(self.routers, len(self.hosts))
        for host, router in zip(self.hosts, places):
            self.hosts[host] = router
        self.write(rand, neighbors)

    def make_links(self, rand, neighbors):
        edges = [(self.routers[i], self.routers[rand.randrange(max(0, i - 3), i)]) for i in range(1, len(self.routers))]
        for _ in range(rand.randint(1, len(self.routers))):
            a, b = sorted(rand.sample(self.routers, 2), key=self.routers.index, reverse=True)
            edges.append((a, b))  # the later is the customer: no relations in a circle
        for a, b in edges:
            if self.asn[a] == self.asn[b]:
                self.links.append(((a, self.port(a)), (b, self.port(b)), f", cost: {rand.randint(1, 3)}"))
                continue
            relation = "open" if self.style != "valley-free" else rand.choice(
                ["customer-provider"] * 3 + ["peer-peer", "sibling", "open"])
            self.links.append(((a, self.port(a)), (b, self.port(b)), f", relation: {relation}"))
            neighbors[a].setdefault(b, {})
            neighbors[b].setdefault(a, {})
        if rand.random() < 0.25 and len(self.routers) >= 5:
            self.switches = ["ix"]
            members = [r for r in rand.sample(self.routers, 3)]
            for number, member in enumerate(members, 1):
                self.links.append(((member, self.port(member)), ("ix", f"p{number}"), ""))
            for a in members:
                for b in members:
                    if self.asn[a] != self.asn[b] and b not in neighbors[a]:
                        neighbors[a][b] = {"relation": "open"}

    def prefix(self, router):
        number = self.routers.index(router) + 1
        return f"10.77.{number}.0/24", f"10.100.{number}.0/24", f"2001:db8:{number:x}::/48"

    def write(self, rand, neighbors):
        nodes, policies = [], []
        for name in [*self.hosts, *self.switches]:
            nodes.append(f"    {name}: {{kind: {'switch' if name in self.switches else 'host'}}}")
        for number, name in enumerate(self.routers, 1):
            lan, own, six = self.prefix(name)
            sessions = {n: dict(v) for n, v in neighbors[name].items()}
            for peer in sessions:
                if self.style == "valley-free" and rand.random() < 0.7 or rand.random() < 0.4:
                    continue
                if rand.random() < 0.6:
                    policy = f"in-{name}-{peer}"
                    sessions[peer]["import"] = policy
                    body = [rand.choice([f"set: {{local-pref: {rand.choice([50, 120, 200])}}}",
                                         f"set: {{med: {rand.randint(0, 9)}}}", "set: {prepend: 1}"])]
                    if rand.random() < 0.15:
                        other = self.prefix(rand.choice(self.routers))[rand.choice([0, 2])]
                        policies.append(f"  {policy}: [{{match: {{prefix: [\"{other}\"]}}, then: reject}}, {{{body[0]}}}]")
                    else:
                        policies.append(f"  {policy}: [{{{body[0]}}}]")
                else:
                    policy = f"out-{name}-{peer}"
                    if self.style == "valley-free":
                        continue  # an export policy would take the place of the valley-free one
                    sessions[peer]["export"] = policy
                    policies.append(f"  {policy}: [{{set: {{prepend: {rand.randint(1, 3)}}}}}]")
            parts = ["kind: router", f"asn: {self.asn[name]}", f"networks: [{lan}, {own}, \"{six}\"]",
                     f"loopback: [10.100.{number}.1/32, \"2001:db8:{number:x}:ffff::1/128\"]"]
            bgp = ["multipath: 4"] if self.equal else []
            written = {n: v for n, v in sessions.items() if v}
            if written:
                bgp.append("neighbors: {" + ", ".join(
                    f"{n}: {{{', '.join(f'{k}: {v}' for k, v in keys.items())}}}" for n, keys in written.items()) + "}")
            if bgp:
                parts.append(f"bgp: {{{', '.join(bgp)}}}")
            near = [b[0] for a, b, _ in self.links if a[0] == name] + [a[0] for a, b, _ in self.links if b[0] == name]
            near = sorted({n for n in near if n in self.routers})
            if near and rand.random() < 0.2:
                target = self.prefix(rand.choice([r for r in self.routers if r != name]))
                parts.append("routes: [" + ", ".join(
                    f"{{to: \"{target[i]}\", via: {rand.choice(near)}}}" for i in rand.choice([[0], [2], [0, 2]])) + "]")
            self.functions(rand, name, number, parts)
            nodes.append(f"    {name}: {{{', '.join(parts)}}}")
        links = [f"    - {{endpoints: [\"{a[0]}:{a[1]}\", \"{b[0]}:{b[1]}\"]{more}}}" for a, b, more in self.links]
        for host, router in self.hosts.items():
            number = self.routers.index(router) + 1
            self.links.append(((host, "eth1"), (router, "lan"), ""))
            links.append(f"    - {{endpoints: [\"{host}:eth1\", \"{router}:lan\"], addresses: [[10.77.{number}.2/24, "
                         f"\"2001:db8:{number:x}::2/64\"], [10.77.{number}.1/24, \"2001:db8:{number:x}::1/64\"]]}}")
        self.text = "\n".join([f"name: {self.name}", f"# seed {self.seed}, {self.style}", "topology:", "  nodes:", *nodes,
                               "  links:", *links, *(["policies:", *policies] if policies else []), ""])

    def functions(self, rand, name, number, parts):
        """Translation behind the host's router, filters anywhere."""
        uplinks = [end[1] for link in self.links for end in link[:2] if end[0] == name]
        host = next((h for h, r in self.hosts.items() if r == name), None)
        if host and rand.random() < 0.5:
            kind = rand.choice(["snat", "masquerade", "dnat", "map"])
            rules = []
            if kind == "snat":
                rules = [f"{{snat: {{out: {u}, from: 10.77.{number}.0/24, to: 10.100.{number}.10}}}}" for u in uplinks]
            elif kind == "masquerade":
                rules = [f"{{masquerade: {{out: {u}, from: 10.77.{number}.0/24}}}}" for u in rand.sample(uplinks, 1)]
            elif kind == "dnat":
                rules = [f"{{dnat: {{in: {u}, address: 10.100.{number}.20, proto: {p}, port: 8080, "
                         f"to: \"10.77.{number}.2:9080\"}}}}" for u in uplinks for p in ("tcp", "udp")]
                self.nats[name] = [("dnat", f"10.100.{number}.20")]
            else:
                rules = [f"{{map: {{inside: 10.77.{number}.0/28, outside: 10.100.{number}.32/28}}}}"]
                self.nats[name] = [("map", f"10.100.{number}.34")]
            self.nats.setdefault(name, [])
            parts.append(f"nat: [{', '.join(rules)}]")
        if rand.random() < 0.12:
            proto, verb = rand.choice(["udp", "icmp"]), rand.choice(["drop", "reject"])
            self.drops[name] = (proto, verb)
            parts.append(f"filter: [{{match: {{proto: {proto}}}, then: {verb}}}, {{otherwise: accept}}]")

    def flow(self, rand):
        """Arguments of one trace."""
        sources = list(self.hosts) * 3 + self.routers
        source = rand.choice(sources)
        family = rand.choice(["ipv4", "ipv4", "ipv6"])
        proto = rand.choice(["icmp", "icmp", "udp", "udp", "tcp"])
        port = rand.choice([9080, 8081])
        # Not to itself by way of its own translation: tcpdump's text does not tell the two ends of such a flow apart.
        outside = [(kind, a) for r in self.nats if self.hosts.get(source) != r for kind, a in self.nats[r]]
        if outside and rand.random() < 0.35:
            kind, target = rand.choice(outside)
            family = "ipv4"
            if kind == "dnat":
                port, proto = 8080, rand.choice(["tcp", "udp"])
        else:
            target = rand.choice([n for n in list(self.hosts) * 3 + self.routers if n != source])
        count = rand.choice([1, 2, 3, 3, 8]) if not self.equal else rand.choice([3, 8, 16])
        if proto == "tcp":
            count = min(count, 4)
        words = [source, target, "--proto", proto, "--count", str(count)]
        if target in self.routers or target in self.hosts:
            words += ["--family", family]
        if proto != "icmp":
            words += ["--port", str(port)]
        return words, source, proto, count


# --- what tcpdump says -----------------------------------------------------------------------------------------------

HEAD = re.compile(r"^(\d+)\.(\d{9}) (\S+)\s+(In|Out|P|B|M)\s+(IP6?) (.*)$")
FROM_TO = re.compile(r"(?:^|\s)([0-9a-f.:]+) > ([0-9a-f.:]+): (.*)$")
TTL = re.compile(r"(?:ttl|hlim) (\d+)")
NUMBERS = re.compile(r"Flags \[([^\]]*)\].*?(?:seq (\d+)(?::(\d+))?)?(?:, ack (\d+))?, win")

Event = collections.namedtuple("Event", "time node interface out ttl source destination")


class Texts:
    """The records of all nodes' tcpdumps."""

    def __init__(self, path_of):
        self.records = []   # (event, identity, kind)
        for node, path in path_of.items():
            self.read(node, path)
        self.records.sort(key=lambda r: r[0].time)

    def read(self, node, path):
        head, text, octets = None, [], ""
        with open(path, errors="replace") as file:
            for line in [*file, "0.000000000 - In IP end"]:
                match = HEAD.match(line)
                if match:
                    if head:
                        self.take(node, head, " ".join(text), bytes.fromhex(octets))
                    head, text, octets = match, [match[6]], ""
                elif line.startswith("\t0x"):
                    octets += line.split(":", 1)[1].replace(" ", "").strip()
                else:
                    text.append(line.strip())

    def take(self, node, head, text, octets):
        if head[3] == "lo" or head[4] not in ("In", "Out"):
            return
        pair = FROM_TO.search(text)
        if not pair:
            return
        six = head[5] == "IP6"
        start = 40 if six else (octets[0] & 15) * 4
        rest = pair[3]
        source, destination = pair[1], pair[2]
        identity = kind = None
        if "ICMP" in rest[:24]:  # what an error quotes follows it in the same words as the packet itself
            echo = re.search(r"ICMP6?, echo (request|reply)|ICMP echo (request|reply)", rest[:40])
            if echo:
                kind, identity = echo[1] or echo[2], octets[start + 8:]
            elif re.search(r"unreachable|exceeded|too big", rest[:200]):
                kind = "error"
            else:
                return
        elif rest.startswith("Flags ["):
            numbers = NUMBERS.search(rest)
            if not numbers:
                return
            kind = "tcp"
            identity = (numbers[1], int(numbers[2] or int.from_bytes(octets[start + 4:start + 8], "big")),
                        int(numbers[4] or 0), numbers[3])
        elif octets[6 if six else 9] == 17:
            kind, identity = "udp", octets[start + 8:]
        else:
            return
        if kind in ("tcp", "udp"):
            (source, sport), (destination, dport) = (part.rsplit(".", 1) for part in (source, destination))
            source, destination = (source, int(sport)), (destination, int(dport))
        else:
            source, destination = (source, None), (destination, None)
        ttl = TTL.search(text)
        event = Event(int(head[1]) * 10**9 + int(head[2]), node, head[3], head[4] == "Out", int(ttl[1]) if ttl else 0,
                      source, destination)
        self.records.append((event, identity, kind))

    def window(self, begin, end):
        return [r for r in self.records if begin <= r[0].time <= end]


class Oracle:
    """One flow, from the text alone."""

    def __init__(self, records, origin, proto, count, links, owners, switches):
        self.origin, self.proto, self.owners = origin, proto, owners
        self.peers = collections.defaultdict(set)
        segment = collections.defaultdict(set)
        for a, b in links:
            if a[0] in switches or b[0] in switches:
                hub, end = (a, b) if a[0] in switches else (b, a)
                segment[hub[0]].add(end)
            else:
                self.peers[a].add(b)
                self.peers[b].add(a)
        for ends in segment.values():
            for end in ends:
                self.peers[end] |= ends - {end}
        self.errors = {r[0].node for r in records if r[2] == "error" and r[0].out}
        by_identity = collections.defaultdict(list)
        wanted = {"icmp": ("request", "reply"), "udp": ("udp",), "tcp": ("tcp",)}[proto]
        for event, identity, kind in records:
            if kind in wanted:
                by_identity[(kind, identity)].append(event)
        self.there, self.back = [], []
        starts = sorted(i[1][1] for i, e in by_identity.items() if proto == "tcp" and i[1][0] == "S" and e[0].node == origin)
        for (kind, identity), events in by_identity.items():
            forward = kind == "request" or kind in ("udp", "tcp") and events[0].node == origin and events[0].out
            probe = self.probe(kind, identity, forward, starts)
            if kind == "tcp" and probe is None:
                continue  # the end of an earlier trace's connection, that a busy machine sends late
            for chain in self.chains(events):
                (self.there if forward else self.back).append((probe, kind, identity, chain))
        self.forget_first_attempt(count)

    def forget_first_attempt(self, count):
        """A flow that translation leads elsewhere is sent again, once it is known where somebody has to answer."""
        first = {}
        for probe, _, _, chain in self.there:
            first[probe] = min(first.get(probe, chain[0].time), chain[0].time)
        kept = set(sorted(first, key=first.get)[-count:])
        self.there = [entry for entry in self.there if entry[0] in kept]
        self.back = [entry for entry in self.back if entry[0] in kept]

    def probe(self, kind, identity, forward, starts):
        if kind == "tcp":
            number = identity[1] if forward else identity[2]
            return next((s for s in starts if (number - s) % 2**32 < 2**18), None)
        return identity[:-1] if kind == "udp" else identity

    def chains(self, events):
        chains = []
        for event in events:
            for chain in reversed(chains):
                last = chain[-1]
                place = (event.node, event.interface)
                if event.out and not last.out and last.node == event.node and last.ttl == event.ttl + 1:
                    break
                if not event.out and last.out and place in self.peers[(last.node, last.interface)] and last.ttl == event.ttl:
                    break
            else:
                chain = []
                chains.append(chain)
            chain.append(event)
        return chains

    @staticmethod
    def visits(chain):
        visits = []
        for event in chain:
            if event.out and visits and visits[-1][2] is None and visits[-1][0] == event.node:
                visits[-1] = (*visits[-1][:2], event.interface)
            else:
                visits.append((event.node, None, event.interface) if event.out else (event.node, event.interface, None))
        return visits

    def delivered(self, chain, forward):
        last = chain[-1]
        if last.out:
            return False
        return last.node in self.owners.get(last.destination[0], ()) if forward else last.node == self.origin

    @staticmethod
    def shown(visits):
        """Up to where a loop closes."""
        seen = set()
        for index, visit in enumerate(visits):
            if visit[1] is not None and visit[:2] in seen:
                return [*visits[:index], (*visit[:2], None)]
            seen.add(visit[:2])
        return visits

    def judge(self):
        tuples = {p: (c[0].source, c[0].destination) for p, _, _, c in reversed(self.there)}
        answered = set()
        for probe, kind, identity, chain in self.back:
            last = chain[-1]
            if probe not in tuples or not self.delivered(chain, False):
                continue
            if (last.destination, last.source) != tuples[probe]:
                continue
            if kind != "tcp" or "S" in identity[0]:
                answered.add(probe)
        symmetric = None
        for probe in answered:
            there = {self.crossed(c) for p, _, _, c in self.there if p == probe and self.delivered(c, True)}
            back = {tuple((b, a) for a, b in reversed(self.crossed(c)))
                    for p, _, _, c in self.back if p == probe and self.delivered(c, False)}
            symmetric = (symmetric is not False) and there == back
        return bool(answered), symmetric

    @staticmethod
    def crossed(chain):
        return tuple(((a.node, a.interface), (b.node, b.interface)) for a, b in zip(chain[::2], chain[1::2]))

    def paths(self, chains, forward):
        """Visits of each chain that is shown: of the delivered, or of all where none is."""
        found = [(c, self.delivered(c, forward)) for _, _, _, c in chains]
        whole = [(c, self.visits(c)) for c, d in found if d]
        return whole or [(c, self.shown(self.visits(c))) for c, _ in found]

    def broken(self):
        """Chains that do not begin where they should: the text itself is not whole."""
        return [c for _, _, _, c in self.there if not (c[0].out and c[0].node == self.origin)] + \
               [c for _, _, _, c in self.back if not c[0].out]


def endpoint(address, port):
    return address if port is None else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def rewrite(before, after):
    if before == after:
        return None
    with_port = before[1] != after[1]
    return {"from": endpoint(before[0], before[1] if with_port else None),
            "to": endpoint(after[0], after[1] if with_port else None)}


def compare(trace, oracle, count, proto):
    """What the verdict says otherwise than the text."""
    wrong = []
    reachable, symmetric = oracle.judge()
    if trace["reachable"] != reachable:
        wrong.append(f"reachable: {trace['reachable']}, tcpdump says {reachable}")
        return wrong
    if trace["symmetric"] != symmetric:
        wrong.append(f"symmetric: {trace['symmetric']}, tcpdump says {symmetric}")
    for way, chains, forward in (("forward", oracle.there, True), ("return", oracle.back, False)):
        report = trace[way]
        shown = oracle.paths(chains, forward)
        counted = collections.Counter(tuple(v[0] for v in visits) for _, visits in shown)
        path = tuple(report["path"])
        if not forward and not reachable:
            if path:
                wrong.append(f"return: {path} of a flow without an answer")
        elif not counted:
            if forward and list(path) != [oracle.origin]:
                wrong.append(f"forward: {path}, tcpdump saw nothing")
        elif path not in counted or proto != "tcp" and counted[path] != max(counted.values()):
            wrong.append(f"{way}: {path}, tcpdump says {dict(counted)}")
        said = collections.Counter({tuple(p["path"]): p["packets"] for p in report["paths"]})
        if (set(said) != set(counted)) if proto == "tcp" else said != counted:
            wrong.append(f"{way} paths: {dict(said)}, tcpdump says {dict(counted)}")
        if path in counted and (forward or reachable):
            wrong += compare_hops(way, report["hops"], [(c, v) for c, v in shown if tuple(x[0] for x in v) == path])
        lost = [c[-1] for _, _, _, c in chains if not oracle.delivered(c, forward)]
        if proto != "tcp" and forward:
            if report["packets"] not in (count, len(chains)) or (chains and report["lost"] - (count - len(
                    {p for p, *_ in chains})) != len(lost)):
                wrong.append(f"forward: {report['packets']} packets, {report['lost']} lost; tcpdump says {len(chains)}, {len(lost)}")
        if lost:
            places = collections.Counter(f"{e.node}:{e.interface}" for e in lost)
            most = {p for p, n in places.items() if n == max(places.values())}
            if report.get("lastSeen") not in most:
                wrong.append(f"{way} last seen: {report.get('lastSeen')}, tcpdump says {dict(places)}")
            drops = {f"{d['node']}:{d['interface']}" for d in report.get("drops", [])}
            if "drops" in report and not set(places) <= drops:  # besides, those that ended where nobody answered
                wrong.append(f"{way} drops: {drops}, tcpdump says {dict(places)}")
    for text in trace["icmpErrors"]:
        node, what = text.split(": ", 1)
        if re.search("unreachable|exceeded", what) and "(" in what and node not in oracle.errors:
            wrong.append(f"ICMP error: {text}, tcpdump saw none leaving {node}")
    return wrong


def compare_hops(way, hops, shown):
    options = []
    for chain, visits in shown:
        stated = []
        for index, (node, inbound, outbound) in enumerate(visits):
            nat = None
            if index > 0 and 2 * index < len(chain) and outbound is not None:
                a, b = chain[2 * index - 1], chain[2 * index]
                nat = (rewrite(a.source, b.source), rewrite(a.destination, b.destination))
            stated.append((node, inbound, outbound, nat if nat and any(nat) else None))
        options.append(stated)
    said = []
    for hop in hops:
        nat = hop["nat"] and (hop["nat"].get("source"), hop["nat"].get("destination"))
        said.append((hop["node"], hop["in"], hop["out"], nat))
    # Every probe has ports of its own: a hop's rewriting is that of one of them.
    places = {tuple(s[:3] for s in option) for option in options}
    if tuple(s[:3] for s in said) not in places:
        return [f"{way} hops: {[s[:3] for s in said]}, tcpdump says {places}"]
    wrong = []
    for index, hop in enumerate(said):
        seen = [option[index][3] for option in options if tuple(s[:3] for s in option) == tuple(s[:3] for s in said)]
        if index == 0 and hop[3] is not None and way == "forward":
            continue  # the sender's own kernel translates before the packet is seen
        if hop[3] not in seen:
            wrong.append(f"{way} {hop[0]}: rewrites {hop[3]}, tcpdump says {seen}")
    return wrong


# --- running ---------------------------------------------------------------------------------------------------------

FILTER = "icmp or icmp6 or ((tcp or udp) and not port 179)"


class Run:
    def __init__(self, seed, traces, keep):
        self.lab = Lab(seed)
        self.traces, self.keep = traces, keep
        self.folder = os.path.join(keep, str(seed))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.file = f"{self.folder}/lab.yaml"
        with open(self.file, "w") as file:
            file.write(self.lab.text)

    def enter(self, node, *argv):
        return ["ip", "netns", "exec", f"{self.lab.name}.{node}", *argv]

    def nodes(self):
        return [*self.lab.hosts, *self.lab.routers]

    def owners(self):
        owners = collections.defaultdict(set)
        for node in self.nodes():
            listing = json.loads(subprocess.run(self.enter(node, "ip", "-j", "addr"), capture_output=True, text=True).stdout)
            for link in listing:
                for address in link["addr_info"]:
                    owners[address["local"]].add(node)
        return owners

    def start_dumps(self):
        dumps = {}
        for node in self.nodes():
            text, said = f"{self.folder}/{node}.txt", f"{self.folder}/{node}.err"
            with open(text, "w") as out, open(said, "w") as err:
                dumps[node] = (subprocess.Popen(
                    self.enter(node, "tcpdump", "-i", "any", "-n", "-tt", "-v", "-x", "-S", "-l", "--immediate-mode", "-s",
                               "512", "-B", "8192", "--time-stamp-precision=nano", FILTER), stdout=out, stderr=err), text, said)
        for _, _, said in dumps.values():
            self.wait(lambda: "listening on" in open(said).read())
        return dumps

    @staticmethod
    def wait(holds, limit=30):
        end = time.monotonic() + limit
        while not holds():
            if time.monotonic() > end:
                raise RuntimeError("tcpdump is not ready")
            time.sleep(0.02)

    def stop_dumps(self, dumps):
        """When each has printed a packet that was sent after all others."""
        for node, (_, text, _) in dumps.items():
            subprocess.run(self.enter(node, "ping", "-q", "-c1", "127.0.0.1"), stdout=subprocess.DEVNULL)
        for node, (process, text, said) in dumps.items():
            self.wait(lambda: "127.0.0.1 > 127.0.0.1: ICMP echo reply" in open(text, errors="replace").read())
            process.send_signal(signal.SIGINT)
            process.wait()
            if "\n0 packets dropped by kernel" not in open(said).read():
                raise RuntimeError(f"tcpdump on {node} lost packets")

    def go(self):
        """[(flow, verdict word, details)]"""
        lab, rand = self.lab, random.Random(self.lab.seed + 1_000_000)
        up = netloom("up", self.file, "--replace", "--timeout", "60s")
        if up.returncode not in (0, 1) or up.returncode == 1 and "not converged" not in up.stderr + up.stdout:
            return [("up", "broken", [up.stderr.strip()[-600:]])]
        dumps, results = {}, []
        try:
            if rand.random() < 0.2:
                a, b, _ = rand.choice([l for l in lab.links if l[0][0] in lab.routers and l[1][0] in lab.routers])
                netloom("fault", "link-down", f"{a[0]}:{a[1]}", f"{b[0]}:{b[1]}", "--lab", lab.name)
            if rand.random() < 0.2:
                router, percent = rand.choice(lab.routers), rand.choice([10, 30, 50])
                subprocess.run(self.enter(router, "nft", "add table inet lossy\n"
                    "add chain inet lossy forward { type filter hook forward priority 10; }\n"
                    "add rule inet lossy forward tcp sport 179 accept\nadd rule inet lossy forward tcp dport 179 accept\n"
                    f"add rule inet lossy forward numgen random mod 100 < {percent} counter drop"), check=True)
            owners = self.owners()
            dumps = self.start_dumps()
            done = []
            for _ in range(self.traces):
                words, source, proto, count = lab.flow(rand)
                begin = time.time_ns()
                answer = netloom("trace", *words, "--lab", lab.name, "-o", "json")
                time.sleep(0.05)  # what the flow still sends belongs to it
                done.append((words, source, proto, count, begin, time.time_ns(), answer))
            self.stop_dumps(dumps)
            texts = Texts({node: d[1] for node, d in dumps.items()})
            for number, entry in enumerate(done):
                results.append(self.verdict(number, entry, texts, owners))
        finally:
            for process, _, _ in dumps.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
            netloom("down", "--lab", lab.name)
        if all(word in ("right", "undecided") for _, word, _ in results):
            shutil.rmtree(self.folder)
        return results

    def verdict(self, number, entry, texts, owners):
        words, source, proto, count, begin, end, answer = entry
        flow = " ".join(words)
        with open(f"{self.folder}/trace-{number}.json", "w") as file:
            file.write(f"{answer.stdout}\n// {flow}\n// {begin} {end}\n// {answer.stderr}")
        try:
            trace = json.loads(answer.stdout)
        except ValueError:
            return (flow, "broken", [answer.stderr.strip()[-300:]])
        oracle = Oracle(texts.window(begin, end), source, proto, count, [l[:2] for l in self.lab.links], owners, self.lab.switches)
        if oracle.broken():
            return (flow, "oracle", [f"tcpdump's text is not whole: {oracle.broken()[0][0]}"])
        if trace.get("undecided") or not trace["complete"]:
            return (flow, "undecided" if trace.get("undecided") else "wrong", [trace.get("undecided") or "no reason"])
        wrong = compare(trace, oracle, count, proto)
        return (flow, "wrong" if wrong else "right", wrong or ["reachable" if trace["reachable"] else "unreachable"])


def one(arguments):
    seed, traces, keep = arguments
    try:
        return seed, Run(seed, traces, keep).go()
    except Exception as error:  # the lab counts as not judged, and says why
        return seed, [("-", "broken", [repr(error)])]


def main():
    parser = argparse.ArgumentParser(usage="scripts/bench paths [LABS] [--seed S] [--traces N] [--jobs N] [--keep DIR]")
    parser.add_argument("labs", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first lab; the next ones follow")
    parser.add_argument("--traces", type=int, default=6, help="of each lab")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", default="/tmp/netloom-paths")
    parser.add_argument("--print", action="store_true", help="only print the first lab's file")
    options = parser.parse_args()
    if options.print:
        return print(Lab(options.seed).text)
    os.makedirs(options.keep, exist_ok=True)
    begin, counts, failed, undecided = time.monotonic(), collections.Counter(), [], collections.Counter()
    work = [(options.seed + i, options.traces, options.keep) for i in range(options.labs)]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for seed, results in pool.map(one, work):
            for flow, word, details in results:
                counts[word] += 1
                if word == "right":
                    counts[details[0]] += 1
                elif word == "undecided":
                    undecided[re.sub(r"\b[rh]\d+(:\w+)?", "NODE", details[0])] += 1
                if word != "right":
                    print(f"seed {seed}: {flow}: {word}: {'; '.join(details)}", flush=True)
                if word in ("wrong", "broken", "oracle") and seed not in failed:
                    failed.append(seed)
    print(f"{options.labs} labs, {sum(counts[w] for w in ('right', 'wrong', 'undecided', 'broken', 'oracle'))} traces in "
          f"{time.monotonic() - begin:.0f} s: {counts['right']} right ({counts['reachable']} reachable, "
          f"{counts['unreachable']} not), {counts['wrong']} wrong, {counts['undecided']} undecided, "
          f"{counts['broken']} could not be run, {counts['oracle']} not seen whole by tcpdump")
    for reason, number in undecided.most_common():
        print(f"undecided {number}: {reason}")
    if failed:
        print(f"failed seeds: {' '.join(map(str, failed))}; kept in {options.keep}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
