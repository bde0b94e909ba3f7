/// Pods as network namespaces on one bridge, an Envoy in each that is told to by the mesh, and a web server in those that
/// have a version. A Python program makes them, does what it is told line by line, and takes everything away at the end.
enum EnvoyMesh {
  static let program = #"""
    import collections, json, os, signal, subprocess, sys

    # A test runner blocks signals, and what it starts inherits that.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    world = json.loads(sys.argv[1])
    prefix = f"nlx{os.getpid() % 100000}"
    children, spaces = [], []

    def run(*command, text=None):
        try:
            done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=25)
        except subprocess.TimeoutExpired:
            return "timeout"
        if done.returncode:
            raise SystemExit(f"{command}: {done.stderr}")
        return done.stdout

    ORIGIN = '''
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        def do_GET(self):
            body = (sys.argv[1] + "\\n").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *arguments):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print("listening", flush=True)
    server.serve_forever()
    '''

    RULES = '''
    table ip mesh {
      chain out {
        type nat hook output priority -100;
        meta mark 0x4e4d return
        ip daddr 127.0.0.0/8 return
        meta l4proto tcp redirect to :15001
      }
      chain in {
        type nat hook prerouting priority -100;
        iifname "eth0" meta l4proto tcp redirect to :15006
      }
    }
    '''

    def make(pod):
        space = f"{prefix}{pod['name']}"
        run("ip", "netns", "add", space)
        spaces.append(space)
        run("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", pod["name"], "netns", hub)
        run("ip", "-n", hub, "link", "set", pod["name"], "master", "br0", "up")
        for line in ("link set lo up", "link set eth0 up", f"addr add {pod['address']}/24 dev eth0",
                     "route add 10.254.0.0/16 dev eth0"):
            run("ip", "-n", space, *line.split())
        run("ip", "netns", "exec", space, "nft", "-f", "-", text=RULES)
        if pod.get("origin"):
            origin = subprocess.Popen(["ip", "netns", "exec", space, sys.executable, "-c", ORIGIN, pod["origin"], "8080"],
                                      stdout=subprocess.PIPE, text=True)
            children.append(origin)
            origin.stdout.readline()
        envoy = subprocess.Popen(["ip", "netns", "exec", space, world["envoy"], "-c", pod["bootstrap"], "--concurrency",
                                  "1", "--use-dynamic-base-id", "-l", "info"],
                                 stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        children.append(envoy)
        return envoy

    def ready(envoy):
        seen = []
        for line in envoy.stderr:
            seen.append(line)
            if "all dependencies initialized" in line:
                return
        raise SystemExit("envoy ended: " + "".join(seen[-5:]))

    def get(words):
        out = run("ip", "netns", "exec", prefix + words[0], "curl", "-s", "-m", "10", "-w", "status=%{http_code}\\n",
                  f"http://10.254.0.1/?[1-{words[1]}]")
        counts = collections.Counter(line for line in out.splitlines() if line and line != "status=200")
        return " ".join(f"{name}:{count}" for name, count in sorted(counts.items()))

    PLAIN = '''
    import socket, sys
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, 36, 0x4e4d)
    s.settimeout(10)
    s.connect((sys.argv[1], 8080))
    try:
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        print(s.recv(100)[:12].decode(errors="replace") or "closed")
    except ConnectionError:
        print("closed")
    '''

    hub = f"{prefix}hub"
    try:
        run("ip", "netns", "add", hub)
        spaces.append(hub)
        run("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", hub, "link", "set", "br0", "up")
        for envoy in [make(pod) for pod in world["pods"]]:
            ready(envoy)
            # What it says from here on is thrown away, lest a full pipe stop it.
            subprocess.Popen(["cat"], stdin=envoy.stderr, stdout=subprocess.DEVNULL)
        print("ready", flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[0] == "get":
                print(get(words[1:]), flush=True)
            if words[0] == "plain":
                print(run("ip", "netns", "exec", prefix + words[1], sys.executable, "-c", PLAIN, words[2]).strip(), flush=True)
    finally:
        for child in reversed(children):
            child.kill()
            child.wait()
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space])
    """#
}
