#!/usr/bin/env python3
"""One sidecar under many connections, and under clients that do not behave.

  sidecar [CONNECTIONS]     10000 unless said

Everything runs in a network namespace of its own on loopback: an origin, netloom-sidecar, and clients.

  tcp     CONNECTIONS connections opened at once through a TCP port, a message echoed on each, all kept, again a message on
          each: none may be lost; memory per connection (resident, of the sidecar)
  http    the same through an HTTP port: a request on each connection, all kept alive, again a request on each
  slow    half as many clients of HTTP that send their head a byte a second (slowloris); meanwhile a client with requests:
          its answers and how long they take; every slow client must be told 408 and closed at the head limit (10 s)
  half    CONNECTIONS / 10 connections that end their stream in the middle of a request, or send nothing at all: what is
          open afterwards

Exit 1: something accepted was lost, or something that must end did not.
"""
import json, os, resource, select, signal, socket, statistics, subprocess, sys, time

BINARY = os.path.join(os.path.dirname(os.environ["NETLOOM"]), "netloom-sidecar")
ORIGIN_TCP, ORIGIN_HTTP, TCP, HTTP, ADMIN = 7001, 7002, 7003, 7004, 7005


def enter_namespace():
    if os.environ.get("NETLOOM_BENCH_NS"):
        return
    os.environ["NETLOOM_BENCH_NS"] = "1"
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv])


def origin(port, answer):
    """A server in a process of its own, with epoll: `answer` makes bytes of bytes."""
    pid = os.fork()
    if pid:
        return pid
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    poll, peers, parent = select.epoll(), {}, os.getppid()
    poll.register(listener, select.EPOLLIN)

    def serve():
        while os.getppid() == parent:
            for number, _ in poll.poll(1):
                if number == listener.fileno():
                    try:
                        while True:
                            peer = listener.accept()[0]
                            peer.setblocking(False)
                            peers[peer.fileno()] = peer
                            poll.register(peer, select.EPOLLIN)
                    except BlockingIOError:
                        continue
                peer = peers[number]
                try:
                    data = peer.recv(65536)
                except (BlockingIOError, ConnectionResetError):
                    data = b""
                if data:
                    peer.setblocking(True)
                    peer.sendall(answer(data))
                    peer.setblocking(False)
                else:
                    poll.unregister(peer)
                    peers.pop(number).close()

    serve()
    os._exit(0)


def start(*arguments):
    log = open(os.devnull, "w")
    process = subprocess.Popen([BINARY, *arguments], stdout=log, stderr=sys.stderr)
    port = int(arguments[arguments.index("--listen") + 1].split(":")[1])
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("netloom-sidecar does not listen")


def resident(process):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def read_some(peer, end):
    data = b""
    while not data.endswith(end):
        part = peer.recv(65536)
        if not part:
            return data
        data += part
    return data


def crowd(name, process, port, count, message, end):
    """Opens, asks, keeps, asks again."""
    before, files = resident(process), descriptors(process)
    began, peers, lost = time.monotonic(), [], 0
    for number in range(count):
        # Of one address there are fewer ports than connections may be.
        peer = socket.socket()
        peer.bind((f"127.0.{1 + number // 20000}.1", 0))
        peer.settimeout(30)
        peer.connect(("127.0.0.1", port))
        peers.append(peer)
    opened = time.monotonic() - began
    rounds = []
    for _ in range(2):
        began = time.monotonic()
        for peer in peers:
            peer.sendall(message)
        for peer in peers:
            try:
                lost += not read_some(peer, end).endswith(end)
            except OSError:
                lost += 1
        rounds.append(time.monotonic() - began)
    memory = resident(process) - before
    result = {
        "connections": count, "lost": lost, "opened_s": round(opened, 2), "asked_s": [round(one, 2) for one in rounds],
        "descriptors": descriptors(process) - files, "bytes_per_connection": round(memory / count),
        "resident_mib": round(resident(process) / 2**20, 1),
    }
    for peer in peers:
        peer.close()
    for _ in range(3000):
        if descriptors(process) <= files + 1100:
            break
        time.sleep(0.01)
    result["descriptors_after"] = descriptors(process) - files
    print(json.dumps({name: result}))
    return lost == 0


REQUEST = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


def slow(process, count):
    peers = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", HTTP))
        peer.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nX-Slow: ")
        peer.setblocking(False)
        peers.append(peer)
    began, times, failed, ends, said = time.monotonic(), [], 0, {}, 0
    good = socket.create_connection(("127.0.0.1", HTTP))
    good.settimeout(10)
    next_byte = began + 1
    while len(ends) < count and time.monotonic() < began + 30:
        asked = time.monotonic()
        good.sendall(REQUEST)
        failed += not read_some(good, b"ok").startswith(b"HTTP/1.1 200")
        times.append(time.monotonic() - asked)
        now = time.monotonic()
        for number, peer in enumerate(peers):
            if number in ends:
                continue
            try:
                if now >= next_byte:
                    peer.send(b"x")
                data = peer.recv(4096)
                said += data.startswith(b"HTTP/1.1 408")
                if not data or data.startswith(b"HTTP/1.1 408"):
                    ends[number] = now - began
            except BlockingIOError:
                pass
            except OSError:
                ends[number] = now - began
        if now >= next_byte:
            next_byte += 1
        time.sleep(0.01)
    result = {
        "clients": count, "ended": len(ends), "told_408": said, "ended_after_s": round(max(ends.values(), default=0), 1),
        "requests_beside": len(times), "failed": failed, "median_ms": round(statistics.median(times) * 1000, 2),
        "p99_ms": round(sorted(times)[int(len(times) * 0.99)] * 1000, 2),
    }
    print(json.dumps({"slow": result}))
    for peer in peers + [good]:
        peer.close()
    return len(ends) == count and failed == 0


def half(process, count):
    files = descriptors(process)
    silent, cut, good = [], [], 0
    for number in range(count):
        peer = socket.create_connection(("127.0.0.1", HTTP))
        peer.settimeout(10)
        if number % 2:
            peer.sendall(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nhalf")
            peer.shutdown(socket.SHUT_WR)
            cut.append(peer)
        else:
            silent.append(peer)
    began = time.monotonic()
    # Whatever the origin made of half a request, the connection must end.
    closed = sum(read_some(peer, b"\0") is not None for peer in cut)
    took = time.monotonic() - began
    for peer in silent[:10]:
        peer.sendall(REQUEST)
        good += read_some(peer, b"ok").startswith(b"HTTP/1.1 200")
    for peer in silent + cut:
        peer.close()
    for _ in range(1000):
        if descriptors(process) <= files + 64:
            break
        time.sleep(0.01)
    result = {"cut": len(cut), "cut_closed": closed, "within_s": round(took, 2), "silent": len(silent),
              "silent_served_later": good, "descriptors_after": descriptors(process) - files}
    print(json.dumps({"half": result}))
    return closed == len(cut) and good == min(10, len(silent))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    enter_namespace()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        hard = max(hard, 3 * count)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except ValueError:
        # Two descriptors each: what this machine allows.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(count, (hard - 100) // 2)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("10000 65000")
    origins = [origin(ORIGIN_TCP, lambda data: data)]
    origins.append(origin(ORIGIN_HTTP, lambda data: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    upstream = lambda port: ["--upstream", f"127.0.0.1:{port}"]
    tcp = start("--listen", f"127.0.0.1:{TCP}", *upstream(ORIGIN_TCP), "--tcp")
    http = start("--listen", f"127.0.0.1:{HTTP}", *upstream(ORIGIN_HTTP), "--http")
    try:
        print(json.dumps({"idle_mib": [round(resident(one) / 2**20, 1) for one in (tcp, http)]}))
        fine = [
            crowd("tcp", tcp, TCP, count, b"x" * 64, b"x" * 64),
            crowd("http", http, HTTP, count, REQUEST, b"ok"),
            slow(http, count // 2),
            half(http, count // 10),
        ]
    finally:
        for process in (tcp, http):
            process.kill()
            process.wait()
        for pid in origins:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    sys.exit(0 if all(fine) else 1)


main()
