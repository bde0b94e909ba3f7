#!/usr/bin/env python3
"""A minimal BGP feeder for a recorded table, written apart from the product so that it can be its second source.

  replay.py prepare DUMP PEER DIR   lines of `bgpdump -m` -> DIR/feed.bin (UPDATEs) and DIR/expected (prefix|path|attributes)
  replay.py feed DIR ADDRESS ASN    connects to ADDRESS, announces DIR/feed.bin, keeps the session up
  replay.py compare DIR             DIR/bird.txt (birdc show route all) against DIR/expected; exit 1 when they differ
"""
import re, socket, struct, sys, time

ORIGINS = {"IGP": 0, "EGP": 1, "INCOMPLETE": 2}


def parse_path(text):
    """AS path text of bgpdump -> [(type, [asn])]; {a,b} is an AS_SET."""
    segments = []
    for word in text.split():
        if word.startswith("{"):
            segments.append((1, [int(a) for a in word.strip("{}").split(",") if a]))
        elif segments and segments[-1][0] == 2:
            segments[-1][1].append(int(word))
        else:
            segments.append((2, [int(word)]))
    return segments


def attribute(flags, code, value):
    if len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, code, len(value)) + value
    return struct.pack("!BBB", flags, code, len(value)) + value


def nlri(prefix):
    address, length = prefix.split("/")
    return bytes([int(length)]) + socket.inet_aton(address)[: (int(length) + 7) // 8]


def prepare(dump, peer, out):
    routes = {}
    for line in open(dump, errors="replace"):
        f = line.rstrip("\n").split("|")
        if len(f) < 14 or f[3] != peer or ":" in f[5]:
            continue
        routes[f[5]] = (f[6], f[7], f[11], f[9] or "0", f[12], f[13])
    groups = {}
    for prefix, key in routes.items():
        groups.setdefault(key, []).append(prefix)
    with open(f"{out}/feed.bin", "wb") as feed, open(f"{out}/expected", "w") as expected:
        for (path, origin, communities, med, atomic, aggregator), prefixes in groups.items():
            value = b"".join(struct.pack("!BB", t, len(a)) + b"".join(struct.pack("!I", x) for x in a) for t, a in [(2, [65002])] + parse_path(path)) \
                if not parse_path(path) or parse_path(path)[0][0] != 2 else \
                b"".join(struct.pack("!BB", t, len(a)) + b"".join(struct.pack("!I", x) for x in a)
                         for t, a in [(2, [65002] + parse_path(path)[0][1])] + parse_path(path)[1:])
            attributes = attribute(0x40, 1, bytes([ORIGINS.get(origin, 2)])) + attribute(0x40, 2, value)
            attributes += attribute(0x40, 3, socket.inet_aton("10.9.0.2")) + attribute(0x80, 4, struct.pack("!I", int(med)))
            if atomic == "AG":
                attributes += attribute(0x40, 6, b"")
            if aggregator.startswith('0 '):
                aggregator = ''  # RFC 7607: AS 0 is discarded; it is not sent on
            if aggregator:
                asn, address = aggregator.split()
                attributes += attribute(0xC0, 7, struct.pack("!I", int(asn)) + socket.inet_aton(address))
            pairs = [c.split(":") for c in communities.split() if re.fullmatch(r"\d+:\d+", c)]
            if pairs:
                attributes += attribute(0xC0, 8, b"".join(struct.pack("!HH", int(a), int(b)) for a, b in pairs))
            text = " ".join(("{" + " ".join(map(str, a)) + "}") if t == 1 else " ".join(map(str, a)) for t, a in parse_path(path))
            for start in range(0, len(prefixes), 700):
                part = prefixes[start:start + 700]
                body = struct.pack("!HH", 0, len(attributes)) + attributes + b"".join(map(nlri, part))
                feed.write(b"\xff" * 16 + struct.pack("!HB", 19 + len(body), 2) + body)
            for prefix in prefixes:
                expected.write(f"{prefix}|{('65001 65002 ' + text).strip()}|{origin.capitalize() if origin == 'INCOMPLETE' else origin}"
                               f"|{' '.join(sorted(f'({int(a)},{int(b)})' for a, b in set(map(tuple, pairs))))}|{aggregator}\n")


def feed(folder, address, asn):
    data = open(f"{folder}/feed.bin", "rb").read()
    while True:
        try:
            s = socket.create_connection((address, 179), 5)
            break
        except OSError:
            time.sleep(0.1)
    s.settimeout(None)
    capabilities = bytes([1, 4, 0, 1, 0, 1]) + bytes([65, 4]) + struct.pack("!I", asn)
    body = struct.pack("!BHH4sB", 4, asn, 0, socket.inet_aton("10.9.0.2"), len(capabilities) + 2) + bytes([2, len(capabilities)]) + capabilities
    s.sendall(b"\xff" * 16 + struct.pack("!HB", 19 + len(body), 1) + body)
    s.sendall(b"\xff" * 16 + struct.pack("!HB", 19, 4))
    got = b""
    while True:  # up to their KEEPALIVE
        got += s.recv(4096)
        while len(got) >= 19 and len(got) >= struct.unpack("!H", got[16:18])[0]:
            length, kind = struct.unpack("!HB", got[16:19])
            got = got[length:]
            if kind == 3:
                sys.exit("NOTIFICATION")
            if kind == 4:
                s.sendall(data)
                while True:
                    if not s.recv(65536):
                        return


def compare(folder):
    expected = {line.split("|")[0]: line.rstrip("\n").split("|")[1:] for line in open(f"{folder}/expected")}
    seen, prefix = {}, None
    for line in open(f"{folder}/bird.txt"):
        m = re.match(r"(\d+\.\d+\.\d+\.\d+/\d+)\s", line)
        if m:
            prefix = m.group(1)
            seen[prefix] = ["", "", "", ""]
        m = re.match(r"\s+BGP\.(\w+): ?(.*)", line)
        if m and prefix:
            name, value = m.group(1), m.group(2).strip()
            if name == "as_path":
                seen[prefix][0] = value
            elif name == "origin":
                seen[prefix][1] = value
            elif name == "community":
                seen[prefix][2] = " ".join(sorted(set(value.split())))
            elif name == "aggregator":
                m = re.match(r"(\S+) AS(\d+)", value)
                seen[prefix][3] = f"{m.group(2)} {m.group(1)}" if m else value
    wrong = [(p, expected.get(p), seen.get(p)) for p in sorted(set(expected) | set(seen)) if expected.get(p) != seen.get(p)]
    for p, want, got in wrong[:10]:
        print(p, "expected", want, "got", got)
    print(len(expected), "expected,", len(seen), "seen,", len(wrong), "differ")
    sys.exit(1 if wrong or not expected else 0)


if __name__ == "__main__":
    verb = sys.argv[1]
    if verb == "prepare":
        prepare(*sys.argv[2:5])
    elif verb == "feed":
        feed(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        compare(sys.argv[2])
