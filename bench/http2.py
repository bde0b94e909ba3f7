#!/usr/bin/env python3
"""HTTP/2 through one proxy: netloom-sidecar beside Envoy, by h2load, over one back end.

  http2 [--rounds N] [--seconds S] [--connections C] [--streams M]

Each proxy is one process with one thread for requests, HTTP/2 in the clear on both of its sides. The back end is an Envoy
that answers by itself. In every round each proxy gets the same load, one after the other, in turns of order; shown are the
medians over the rounds: requests a second, and what the proxy's process itself took of the processor for each request
(run time of its threads by /proc/PID/task/*/schedstat, before and after). Figures of CPU say more than those of
throughput: load, back end and proxy share the machine's processors.

Envoy is NETLOOM_ENVOY, the one in .build/xds-clients/path, or that of the PATH; without one there is no back end: exit 3.
"""
import argparse, json, os, re, shutil, socket, statistics, subprocess, sys, tempfile, time

NETLOOM = os.environ.get("NETLOOM", "netloom")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LOADS = [
    ("GET, 1 KiB back", "/1024", []),
    ("POST of 256 bytes, 256 back", "/256", ["-d", "BODY"]),
    ("GET, 256 KiB back", "/262144", []),
]


def envoy_program():
    own = os.path.join(ROOT, ".build/xds-clients/path/envoy")
    return os.environ.get("NETLOOM_ENVOY") or (own if os.access(own, os.X_OK) else shutil.which("envoy"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def manager(routes):
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                     "HttpConnectionManager",
            "stat_prefix": "bench", "codec_type": "HTTP2",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
        },
    }


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(port, routes, clusters=()):
    listener = {"name": "in", "address": address(port), "filter_chains": [{"filters": [manager(routes)]}]}
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}


def answering(port):
    sizes = [int(path[1:]) for _, path, _ in LOADS]
    routes = [{"match": {"path": f"/{size}"},
               "direct_response": {"status": 200, "body": {"inline_string": "x" * size}}} for size in sizes]
    result = configuration(port, routes)
    hosts = result["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    hosts["route_config"]["max_direct_response_body_size_bytes"] = max(sizes)
    return result


def passing(port, target):
    unlimited = {"max_connections": 65536, "max_pending_requests": 65536, "max_requests": 65536}
    cluster = {
        "name": "back", "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": {"thresholds": [unlimited]},
        "load_assignment": {"cluster_name": "back", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address(target)}}]}]},
        "typed_extension_protocol_options": {HTTP2: {
            "@type": f"type.googleapis.com/{HTTP2}", "explicit_http_config": {"http2_protocol_options": {}}}},
    }
    return configuration(port, [{"match": {"prefix": "/"}, "route": {"cluster": "back"}}], [cluster])


class Program:
    """A process that listens on a port; ended with this object."""

    def __init__(self, arguments, port):
        self.port = port
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{arguments[0]} does not listen")

    def cpu(self):
        """Nanoseconds of processor time of all threads."""
        total = 0
        folder = f"/proc/{self.process.pid}/task"
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        return total

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def envoy(program, folder, name, config, port):
    path = os.path.join(folder, f"{name}.json")
    with open(path, "w") as file:
        json.dump(config, file)
    return Program([program, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "off"], port)


def send(proxy, path, extra, count, options):
    """Sends so many requests; returns those that failed, the seconds, and the proxy's CPU in nanoseconds."""
    command = ["h2load", "-n", str(count), "-c", str(options.connections), "-m", str(options.streams), "-t", "1",
               *extra, f"http://127.0.0.1:{proxy.port}{path}"]
    before, began = proxy.cpu(), time.monotonic()
    text = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    took, spent = time.monotonic() - began, proxy.cpu() - before
    found = re.search(r"(\d+) succeeded, (\d+) failed", text)
    if not found:
        raise RuntimeError(f"h2load said: {text}")
    return count - int(found[1]), took, spent


def turn(proxy, path, extra, options):
    """A probe says how many requests fill the time."""
    _, took, _ = send(proxy, path, extra, options.probe, options)
    count = max(options.probe, int(options.probe / took * options.seconds))
    failed, took, spent = send(proxy, path, extra, count, options)
    return count / took, spent / count, failed


def measure(proxies, options, body):
    for title, path, extra in LOADS:
        arguments = [body if word == "BODY" else word for word in extra]
        turns = {name: [] for name in proxies}
        for number in range(options.rounds):
            for name in sorted(proxies, reverse=number % 2 == 1):
                turns[name].append(turn(proxies[name], path, arguments, options))
        for name in sorted(proxies):
            rates, costs, failures = zip(*turns[name])
            print(f"{title:28} {name:8} {statistics.median(rates):9.0f} requests/s "
                  f"{statistics.median(costs):9.0f} ns of CPU each ({min(costs):.0f} to {max(costs):.0f})"
                  f"   {sum(failures)} failed", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--probe", type=int, default=1000, help="requests that say how many fill the time")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=25)
    options = parser.parse_args()
    program = envoy_program()
    for needed, found in [("envoy", program), ("h2load", shutil.which("h2load"))]:
        if not found:
            print(f"http2: {needed} is missing (scripts/setup --tests)", file=sys.stderr)
            return 3
    sidecar = os.path.join(os.path.dirname(os.path.realpath(shutil.which(NETLOOM) or NETLOOM)), "netloom-sidecar")
    started = []
    with tempfile.TemporaryDirectory() as folder:
        body = os.path.join(folder, "body")
        with open(body, "wb") as file:
            file.write(b"y" * 256)
        try:
            ports = [free_port() for _ in range(3)]
            started.append(envoy(program, folder, "back", answering(ports[0]), ports[0]))
            started.append(envoy(program, folder, "envoy", passing(ports[1], ports[0]), ports[1]))
            started.append(Program([sidecar, "--listen", f"127.0.0.1:{ports[2]}", "--upstream", f"127.0.0.1:{ports[0]}",
                                    "--http2"], ports[2]))
            proxies = {"envoy": started[1], "netloom": started[2]}
            measure(proxies, options, body)
            for name, proxy in proxies.items():
                print(f"memory at its highest: {name} {proxy.memory():.1f} MiB")
        finally:
            for each in reversed(started):
                each.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
