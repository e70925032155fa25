"""What a job on other compute costs over the engine's own command, and what it costs to send a tree again.

    cargo build --release
    python3 benches/overhead.py ssh tree slurm docker ray      # the tables of the README

The engines are the real ones, started by the scripts of `--engines` on this machine. A job that does nothing is submitted,
awaited, and its result put on record by amlrun; beside it the engine's own command is run, turn by turn, so that a machine
that is busy is so for both. `tree` sends 10,000 files, changes one, and sends again, by amlrun (which runs the job, too) and
by `rsync -a`, through one ssh connection each, whose bytes a proxy between client and sshd counts.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time


def wall(argv, cwd, env):
    began = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{argv} ended with {done.returncode}:\n{done.stdout.decode('utf-8', 'replace')}")
    return took * 1000


class Bench:
    def __init__(self, told, folder):
        self.told, self.folder, self.engines = told, folder, []
        self.env = dict(os.environ, HOME=str(folder / "home"))
        (folder / "home").mkdir()

    def up(self, script, **variables):
        """Starts an engine, and answers what its script says of it."""
        at = pathlib.Path(tempfile.mkdtemp(prefix="e-", dir=self.folder))
        if script == "ray-up.sh" and self.told.ray_venv:
            (at / "venv").symlink_to(self.told.ray_venv)
        self.engines.append(at)
        said = subprocess.run([self.told.engines / script, at], env=dict(os.environ, **variables), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if said.returncode:
            raise SystemExit(f"{script}: {said.stdout.decode('utf-8', 'replace')}")
        return at, said.stdout.decode("utf-8", "replace")

    def down(self):
        for at in reversed(self.engines):
            subprocess.run([self.told.engines / "down.sh", at], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def project(self, name, text):
        root = self.folder / name
        root.mkdir()
        (root / "Amlfile").write_text("format = 1\n" + text)
        return root

    def compare(self, name, root, own, env, times):
        """The engine's own command and amlrun, turn by turn; the first of each does not count."""
        amlrun = [str(self.told.amlrun), "-B", "-q"]
        pairs = [(wall(own, "/", env), wall(amlrun, root, env)) for _ in range(times + 1)][1:]
        engine, whole = (statistics.median(column) for column in zip(*pairs))
        over = statistics.median(whole - engine for engine, whole in pairs)
        return f"| {name} | {engine:.0f} | {whole:.0f} | {over:.0f} |"


def trivial(head, environment=""):
    return f'{head}\n{environment}[experiments.a]\ntarget = "t"\nsources = []\ncommand = "true"\n'


def ssh(bench):
    at, _ = bench.up("sshd-up.sh")
    config = at / "ssh_config"
    head = f'[targets.t]\ntype = "ssh"\nhost = "mux"\noptions = ["-F", "{config}"]\ndirectory = "{bench.folder}/ssh-far"\n'
    own = ["ssh", "-F", str(config), "mux", "true"]
    return bench.compare("`ssh host true`, on the open connection", bench.project("ssh", trivial(head)), own, bench.env, 20)


def slurm(bench):
    at, _ = bench.up("slurm-up.sh", CPUS="8")
    env = dict(bench.env, SLURM_CONF=str(at / "slurm.conf"))
    head = f'[targets.t]\ntype = "slurm"\ndirectory = "{bench.folder}/slurm-far"\n'
    own = ["sbatch", "--wait", "--output=/dev/null", "--chdir=/", "--wrap=true"]
    return bench.compare("`sbatch --wait`", bench.project("slurm", trivial(head)), own, env, 10)


def docker(bench):
    at, _ = bench.up("docker-up.sh")
    env = dict(bench.env, DOCKER_HOST=f"unix://{at}/docker.sock")
    box = '[environments.box]\ndocker = { image = "bb:1", arguments = ["--network", "host"] }\n'
    text = trivial("", box).replace('target = "t"', 'environment = "box"')
    own = ["docker", "run", "--rm", "--network", "host", "bb:1", "true"]
    return bench.compare("`docker run --rm`", bench.project("docker", text), own, env, 10)


def ray(bench):
    at, _ = bench.up("ray-up.sh", CPUS="8")
    address = re.search(r"RAY_DASHBOARD=(\S+)", (at / "env").read_text()).group(1)
    head = f'[targets.t]\ntype = "ray"\naddress = "{address}"\ndirectory = "{bench.folder}/ray-far"\n'
    own = [str(at / "venv/bin/ray"), "job", "submit", "--address", address, "--", "true"]
    line = bench.compare("`ray job submit`", bench.project("ray", trivial(head)), own, bench.env, 5)
    temporary = (at / "temp-dir").read_text().strip()
    bench.down()
    shutil.rmtree(temporary, ignore_errors=True)
    return line


class Proxy:
    """Leads a port to another and counts what goes through, both ways."""

    def __init__(self, port):
        self.bytes, self.to = 0, port
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listening.accept()
            server = socket.create_connection(("127.0.0.1", self.to))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        while data := source.recv(1 << 18):
            self.bytes += len(data)
            sink.sendall(data)
        try:
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def tree(bench):
    at, _ = bench.up("sshd-up.sh")
    text = (at / "ssh_config").read_text()
    proxy = Proxy(int(re.search(r"Port (\d+)", text).group(1)))
    config = bench.folder / "wire"
    # A connection each, so that neither finds the other's open.
    for name in ("amlrun", "rsync"):
        shared = f"  ControlMaster auto\n  ControlPath {bench.folder}/{name}-%C\n  ControlPersist 60\n  HostKeyAlias known\n"
        block = text[text.index("Host mux"):].replace("Host mux", f"Host {name}")
        block = re.sub(r"Port \d+", f"Port {proxy.port}", re.sub(r"  Control.*\n", "", block))
        known = bench.folder / "known"
        known.write_text("known " + (at / "known_hosts").read_text().split(" ", 1)[1])
        block = re.sub(r"UserKnownHostsFile \S+", f"UserKnownHostsFile {known}", block)
        with open(config, "a") as file:
            file.write(block.rstrip("\n") + "\n" + shared)
    head = f'[targets.t]\ntype = "ssh"\nhost = "amlrun"\noptions = ["-F", "{config}"]\ndirectory = "{bench.folder}/tree-far"\n'
    root = bench.project("tree", trivial(head).replace("sources = []", 'source_directory = "src"'))
    numbers = random.Random(1)
    for n in range(10_000):
        path = root / "src" / f"d{n % 100}" / f"f{n}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(2048))
    commands = {
        "amlrun": [str(bench.told.amlrun), "-q"],
        "rsync": ["rsync", "-a", "-e", f"ssh -F {config}", f"{root}/src/", f"rsync:{bench.folder}/tree-rsync/"],
    }

    def turn(name):
        before = proxy.bytes
        return wall(commands[name], root, bench.env), proxy.bytes - before

    for name in commands:
        wall(["ssh", "-F", str(config), name, "true"], "/", bench.env)
    first = {name: turn(name) for name in commands}
    again = {name: [] for name in commands}
    for n in range(9):
        (root / "src/d7/f7.py").write_bytes(numbers.randbytes(2048))
        for name in commands if n % 2 else reversed(list(commands)):
            again[name].append(turn(name))
    lines = []
    for name in commands:
        took, sent = (statistics.median(column) for column in zip(*again[name]))
        lines.append(f"| {name} | {first[name][0]:.0f} | {first[name][1]:,} | {took:.0f} | {sent:,.0f} | "
                     f"{100 * sent / first[name][1]:.2f} % |")
    for name in commands:
        subprocess.run(["ssh", "-F", str(config), "-O", "exit", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "\n".join(lines)


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("what", nargs="+", choices=["ssh", "tree", "slurm", "docker", "ray"])
    told.add_argument("--amlrun", type=pathlib.Path, default=here / "target/release/amlrun")
    told.add_argument("--engines", type=pathlib.Path, default=here.parent / "shared/engines")
    told.add_argument("--ray-venv", type=pathlib.Path, help="an environment that Ray is installed in already")
    told = told.parse_args()
    told.amlrun, told.engines = told.amlrun.resolve(), told.engines.resolve()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        bench = Bench(told, pathlib.Path(folder))
        try:
            for what in told.what:
                if what == "tree":
                    print("| | first ms | first bytes | again ms | again bytes | of the first |\n|---|--:|--:|--:|--:|--:|")
                else:
                    print("| engine's own command | its ms | amlrun ms | over it ms |\n|---|--:|--:|--:|")
                print(globals()[what](bench), flush=True)
            print("load", " ".join(f"{load:.1f}" for load in os.getloadavg()))
        finally:
            bench.down()


if __name__ == "__main__":
    main()
