#!/usr/bin/env python3
"""A canary under load: 1,000 requests a second through sidecars while `mesh split` moves the weights in steps.

  canary.py [SECONDS]     both sites in one: a client, an edge, two versions; then over the WAN, while the uplink that all
                          requests take fails; what `mesh explain` says afterwards
"""
import json, os, shutil, subprocess, sys, tempfile, threading, time

NETLOOM = os.environ["NETLOOM"]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = [(95, 5), (75, 25), (50, 50), (20, 80), (0, 100)]


def run(*arguments, check=True):
    done = subprocess.run([NETLOOM, *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done


LOCAL = """name: canary-bench
addressing: {ipv6: false}
topology:
  nodes:
    client: {kind: pod}
    edge: {kind: router, asn: 64500}
    web-1: {kind: pod, service: web, version: v1, cmd: ["python3 load.py serve 8080 --version v1"]}
    web-2: {kind: pod, service: web, version: v2, cmd: ["python3 load.py serve 8080 --version v2"]}
  links:
    - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
    - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
    - {endpoints: ["edge:eth3", "web-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
mesh:
  mtls: strict
  services: {web: {port: 80, target: 8080, protocol: http, split: {v1: 1}, health: {}}}
"""

WAN = """name: canary-wan
addressing: {ipv6: false}
topology:
  nodes:
    client: {kind: pod}
    web-1: {kind: pod, service: web, version: v1, cmd: ["python3 load.py serve 8080 --version v1"]}
    web-2: {kind: pod, service: web, version: v2, cmd: ["python3 load.py serve 8080 --version v2"]}
    site-a: {kind: router, asn: 64500, networks: [10.1.0.0/16], bgp: {neighbors: {isp1: {import: prefer}}}}
    site-b: {kind: router, asn: 64510, networks: [10.2.0.0/16], bgp: {neighbors: {isp1: {import: prefer}}}}
    isp1: {kind: router, asn: 64496}
    isp2: {kind: router, asn: 64497}
  links:
    - {endpoints: ["client:eth1", "site-a:eth1"], addresses: [[10.1.1.2/24], [10.1.1.1/24]]}
    - {endpoints: ["web-1:eth1", "site-b:eth1"], addresses: [[10.2.1.2/24], [10.2.1.1/24]]}
    - {endpoints: ["web-2:eth1", "site-b:eth2"], addresses: [[10.2.2.2/24], [10.2.2.1/24]]}
    - {endpoints: ["site-a:eth3", "isp1:eth1"], relation: customer-provider}
    - {endpoints: ["site-a:eth4", "isp2:eth1"], relation: customer-provider}
    - {endpoints: ["site-b:eth3", "isp1:eth2"], relation: customer-provider}
    - {endpoints: ["site-b:eth4", "isp2:eth2"], relation: customer-provider}
policies:
  prefer: [{set: {local-pref: 200}}]
mesh:
  mtls: strict
  services: {web: {port: 80, target: 8080, protocol: http, split: {v1: 1}}}
"""


def canary(text, seconds, between=lambda step: None):
    folder = tempfile.mkdtemp(prefix="netloom-bench-")
    shutil.copy(f"{ROOT}/topologies/mesh/load.py", folder)
    path = f"{folder}/lab.yaml"
    with open(path, "w") as file:
        file.write(text)
    lab = text.split()[1]
    run("up", path, "--replace")
    try:
        for pod in ("web-1", "web-2"):  # `up` does not wait for servers
            while run("exec", f"{lab}/{pod}", "--", "curl", "-sf", "http://127.0.0.1:8080/", check=False).returncode:
                time.sleep(0.05)
        result = {}
        def load():
            done = run("exec", f"{lab}/client", "--", "python3", f"{folder}/load.py", "run", "http://web/", "--for", str(seconds))
            result.update(json.loads(done.stdout))
        thread = threading.Thread(target=load)
        thread.start()
        times = []
        for number, (old, new) in enumerate(STEPS):
            time.sleep(seconds / (len(STEPS) + 1))
            between(number)
            change = json.loads(run("mesh", "split", f"{lab}/web", f"v1={old}", f"v2={new}", "-o", "json").stdout)
            times.append(change["ms"])
        thread.join()
        print(f"  {result['requests']} requests in {result['seconds']} s, failed {result['failed']}, "
              f"p50 {result['p50']} ms, p99 {result['p99']} ms, longest {result['longest']} ms; {result['versions']}")
        for why, count in result["why"]:
            print(f"    {count} × {why}")
        if result["failed"]:
            print(f"    from the first failure to the last {result['failing']} s")
        print(f"  weights live on every sidecar after {', '.join(f'{ms:.1f}' for ms in times)} ms")
        return run("mesh", "explain", f"{lab}/client", "web", check=False).stdout, result
    finally:
        run("down", "--lab", lab, check=False)


seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
print(f"canary in five steps at 1,000 requests/s for {seconds:.0f} s, mTLS")
canary(LOCAL, seconds)
print("the same over the WAN, the uplink fails before the third step and is back before the fifth")
ends = ["site-a:eth3", "isp1:eth1"]
def fail(step):
    if step == 2:
        run("fault", "link-down", *ends, "--lab", "canary-wan")
    if step == 4:
        run("fault", "link-up", *ends, "--lab", "canary-wan")
explained, _ = canary(WAN, seconds, fail)
print("\n".join("  | " + line for line in explained.splitlines()))
