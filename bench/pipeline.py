#!/usr/bin/env python3
"""Delivery: what happens to the sample's pipeline and its production when things end in the middle, and what it costs.

  pipeline kill [RUNS] [--seed S]   runs of the sample (main, v1 and the slow v2 by turns), each hit at a random time of a stage: the
                                    command killed with SIGKILL or told to end with SIGINT, or the lab's controller killed.
                                    Then `resume` until the run is over. A client sends 50 requests a second all the time.
  pipeline load [--rate N]          requests at a rate (1,000/s) during a promotion and during a rollback: how many fail.
  pipeline time [RUNS]              from the tag to a running pod, for a binary that is built already.

Without a word all three. Exit 1: a run did not end in a stated state, or a request failed.
"""
import argparse, json, os, random, shutil, signal, sqlite3, statistics, subprocess, sys, tempfile, time

NETLOOM = os.environ.get("NETLOOM", "netloom")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAB = "bench-production"
STAGES = ["source", "build", "test", "package", "tag", "push", "verify", "deploy", "release"]

# In a pod: requests at a rate on connections that stay open; sums when it is told to end.
CLIENT = r"""
import http.client, json, signal, sys, threading, time
rate, out = int(sys.argv[1]), sys.argv[2]
ending = threading.Event()
signal.signal(signal.SIGTERM, lambda *a: ending.set())
sums = {"sent": 0, "failed": 0, "slowest": 0.0, "why": {}}
lock = threading.Lock()
workers = max(4, rate // 40)

def failed(why):
    with lock:
        sums["failed"] += 1
        sums["why"][why] = sums["why"].get(why, 0) + 1

def work(index):
    connection, start, count = None, time.monotonic() + index / rate, 0
    while not ending.is_set():
        wait = start + count * workers / rate - time.monotonic()
        if wait > 0 and ending.wait(wait):
            break
        count += 1
        began = time.monotonic()
        fresh = connection is None
        for attempt in (1, 2):
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("web", 80, timeout=10)
                    fresh = True
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed(f"status {answer.status} {answer.headers.get('netloom-refused', '')}")
                if answer.will_close:
                    connection.close(); connection = None
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                # An idle connection that the server closed: a GET is sent again on a new one (RFC 9112 section 9.3.1).
                connection.close(); connection = None
                if fresh or attempt == 2:
                    failed(type(error).__name__)
                    break
            except Exception as error:
                connection.close(); connection = None
                failed(type(error).__name__)
                break
        with lock:
            sums["sent"] += 1
            sums["slowest"] = max(sums["slowest"], time.monotonic() - began)

threads = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
for thread in threads: thread.start()
open(out + ".ready", "w").close()
for thread in threads: thread.join()
with open(out, "w") as file: json.dump(sums, file)
"""


class Bench:
    def __init__(self, hold="1s", rate="100/s"):
        self.folder = tempfile.mkdtemp(prefix="netloom-bench-")
        self.environment = {**os.environ, "NETLOOM_PIPELINES": f"{self.folder}/pipelines",
                            "NETLOOM_IMAGES": f"{self.folder}/images"}
        shutil.copytree(f"{ROOT}/ci/sample", f"{self.folder}/ci/sample")
        with open(f"{self.folder}/client.py", "w") as file:
            file.write(CLIENT)
        with open(f"{ROOT}/ci/pipeline.yaml") as file:
            text = file.read()
        text = text.replace("lab: production", f"lab: {LAB}").replace(".build/", "")
        text = text.replace("hold: 5s", f"hold: {hold}").replace("steps: [5, 25, 50, 100]", "steps: [25, 100]")
        text = text.replace("load: 100/s", f"load: {rate}").replace("  - {console: true}\n", "")
        # Windows of a second on a busy machine: whether a slow version is found is for the system test.
        text = text.replace("    p99:", "    regression: {p99: 100x}\n    p99:")
        with open(f"{self.folder}/pipeline.yaml", "w") as file:
            file.write(text)

    def netloom(self, *arguments, timeout=300):
        return subprocess.run([NETLOOM, *arguments], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, timeout=timeout)

    def start(self, ref):
        return subprocess.Popen([NETLOOM, "pipeline", "run", "pipeline.yaml", "--ref", ref], cwd=self.folder,
                                env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def must(self, *arguments):
        done = self.netloom(*arguments)
        if done.returncode != 0:
            sys.exit(f"netloom {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def status(self):
        return json.loads(self.netloom("pipeline", "status", "web", "-o", "json").stdout)

    def stage(self):
        """The last run and what it does, from its store."""
        try:
            database = sqlite3.connect(f"file:{self.folder}/pipelines/web/state.db?mode=ro", uri=True, timeout=1)
            try:
                run = database.execute("SELECT max(number) FROM runs").fetchone()[0]
                row = database.execute("SELECT stage FROM stages WHERE run = ? AND state = 'running'", (run,)).fetchone()
                return run, row[0] if row else None
            finally:
                database.close()
        except sqlite3.Error:
            return None, None

    def client(self, rate):
        out = f"{self.folder}/client-{time.monotonic_ns()}"
        process = subprocess.Popen([NETLOOM, "exec", "--lab", LAB, "client", "--", "python3", f"{self.folder}/client.py",
                                    str(rate), out], cwd=self.folder, env=self.environment)
        while not os.path.exists(out + ".ready"):
            if process.poll() is not None:
                sys.exit("the client ended")
            time.sleep(0.02)
        return process, out

    def sums(self, client):
        process, out = client
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        with open(out) as file:
            return json.load(file)

    def end(self):
        self.netloom("down", LAB)
        shutil.rmtree(self.folder, ignore_errors=True)


def kill(runs, seed):
    choice, bench = random.Random(seed), Bench()
    bad, states = [], {}
    try:
        bench.must("pipeline", "run", "pipeline.yaml", "--ref", "v1")
        client = bench.client(50)
        durations = {s["stage"]: s["seconds"] for s in bench.status()["stages"]}
        for number in range(runs):
            stage = STAGES[number % len(STAGES)]
            how = choice.choice(["SIGKILL", "SIGKILL", "SIGINT", "controller"])
            after = choice.random() * (durations.get(stage) or 0.1)
            last, _ = bench.stage()
            # Each stage with each ref: v2 is slow, so a kill in its release hits a rollback too.
            ref = ["v2", "main", "v1"][(number + number // len(STAGES)) % 3]
            wanted = "rolled-back" if ref == "v2" else "released"
            process = bench.start(ref)
            while process.poll() is None:
                run, now = bench.stage()
                if run != last and now == stage:
                    break
                time.sleep(0.002)
            time.sleep(after)
            hit = process.poll() is None
            if hit and how == "controller":
                bench.netloom("fault", "kill-controller", "--lab", LAB)
            elif hit:
                process.send_signal(signal.SIGKILL if how == "SIGKILL" else signal.SIGINT)
            _, errors = process.communicate(timeout=300)
            stood = bench.status()
            resumed = 0
            while stood["state"] == "interrupted" and resumed < 3:
                resumed += 1
                done = bench.netloom("pipeline", "resume", f"web/{stood['run']}")
                errors += done.stderr
                stood = bench.status()
            ended = stood["state"]
            weights = next(s["split"] for s in json.loads(bench.must("mesh", "status", "--lab", LAB, "-o", "json"))["services"])
            states[ended] = states.get(ended, 0) + 1
            # Killed by hand it resumes to its end; a controller that dies may also stop a run, in words.
            fine = ended == wanted or (how == "controller" and ended in ("stopped", "rolled-back") and stood["reason"])
            if not fine or sorted(weights.values()) not in ([0, 100], [100]):
                bad.append(f"run {number} of {ref}: {how} in {stage}: {ended}, weights {weights}: {stood.get('reason')} {errors[-300:]}")
            print(f"{number:3} {ref:4} {how:10} in {stage:8} after {after:5.2f} s{'' if hit else ' (over)'}: "
                  f"{'resumed, ' if resumed else ''}{ended}", flush=True)
        sums = bench.sums(client)
        left = [n for n in json.loads(bench.must("ls", "-o", "json")) if "verify" in n.get("lab", n.get("name", ""))]
    finally:
        bench.end()
    print(f"{runs} runs: {states}; {sums['sent']} requests meanwhile, {sums['failed']} failed {sums['why'] or ''}")
    if left:
        bad.append(f"labs were left: {left}")
    if sums["failed"]:
        bad.append(f"{sums['failed']} requests failed")
    for line in bad:
        print("BAD", line)
    return not bad


def load(rate):
    bench, fine = Bench(hold="2s", rate="20/s"), True
    try:
        bench.must("pipeline", "run", "pipeline.yaml", "--ref", "main")
        for what, arguments, wanted in [("promotion", ["run", "pipeline.yaml", "--ref", "v1"], 0),
                                        ("canary that goes back", ["run", "pipeline.yaml", "--ref", "v2"], 1),
                                        ("rollback", ["rollback", "web"], 0)]:
            client = bench.client(rate)
            start = time.monotonic()
            done = bench.netloom("pipeline", *arguments)
            seconds = time.monotonic() - start
            sums = bench.sums(client)
            print(f"{what}: {seconds:.1f} s, {sums['sent']} requests at {rate}/s, {sums['failed']} failed "
                  f"{sums['why'] or ''}, slowest {sums['slowest'] * 1000:.0f} ms", flush=True)
            if done.returncode != wanted:
                print(f"BAD exit {done.returncode}: {done.stderr}")
            fine = fine and done.returncode == wanted and sums["failed"] == 0
    finally:
        bench.end()
    return fine


def times(runs):
    bench, sums = Bench(hold="100ms"), []
    try:
        with open(f"{bench.folder}/pipeline.yaml") as file:
            text = file.read()
        # Nothing between the push and the deployment; nothing judged.
        text = "".join(line for line in text.splitlines(True) if not line.startswith(("verify:", "approve:")))
        text = text[:text.index("  analysis:")] + text[text.index("notify:"):]
        with open(f"{bench.folder}/pipeline.yaml", "w") as file:
            file.write(text)
        bench.must("pipeline", "run", "pipeline.yaml", "--ref", "main")
        for number in range(runs):
            # Every second one is new to the registry and to the machine; the others are there already.
            bench.must("pipeline", "run", "pipeline.yaml", "--ref", "v1" if number % 2 == 0 else "v4")
            stages = {s["stage"]: s for s in bench.status()["stages"]}
            end = stages["deploy"]["startedAt"] / 1000 + stages["deploy"]["seconds"]
            sums.append(end - stages["tag"]["startedAt"] / 1000)
            parts = ", ".join(f"{s} {stages[s]['seconds']:.2f}" for s in ("tag", "push", "deploy"))
            print(f"tag to running: {sums[-1]:.2f} s ({parts})", flush=True)
    finally:
        bench.end()
    print(f"tag to running pod, {runs} runs: median {statistics.median(sums):.2f} s, slowest {max(sums):.2f} s")
    return max(sums) <= 3


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", nargs="?", choices=["kill", "load", "time"])
parser.add_argument("runs", nargs="?", type=int)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--rate", type=int, default=1000)
options = parser.parse_args()
fine = True
if options.what in (None, "time"):
    fine = times(options.runs or 4) and fine
if options.what in (None, "load"):
    fine = load(options.rate) and fine
if options.what in (None, "kill"):
    fine = kill(options.runs or 50, options.seed) and fine
sys.exit(0 if fine else 1)
