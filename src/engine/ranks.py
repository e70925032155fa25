# Starts the processes of one distributed job, follows them, and ends them together. Given to `python -I -c` on every
# target, so: Python 3.6 and its standard library. Processes are started from here, or by mpirun or srun, which start this
# program again for each of them: it then knows its rank, and starts that one.
import json, os, re, shutil, signal, socket, subprocess, sys, threading, time

TEXT, SPEC = sys.argv[1], json.loads(sys.argv[2])
KIND, NODES, TOTAL, OPTIONS = SPEC["type"], SPEC["nodes"], SPEC["processes"], SPEC["options"]
EACH = -(-TOTAL // NODES)
GRACE = 10.0  # seconds between SIGTERM and SIGKILL for the others, once one has failed
SERVERS = int(OPTIONS.get("parameter_servers", 0))
SAYS = re.compile(rb"^amlrun: rank \d+ failed: (exit status|signal) (\d+)")
ENDS = []


def secrets():
    found = set()
    for name in SPEC["secrets"]:
        # A line of a longer one is cut out, too: output is looked at line by line.
        found.update(part.strip().encode("utf-8", "surrogateescape") for part in os.environ.get(name, "").split("\n"))
    return sorted((text for text in found if len(text) >= 4), key=len, reverse=True)


SECRETS = secrets()


def argv_of():
    return ([sys.executable] if SPEC["python"] else []) + SPEC["argv"]


def say(text):
    os.write(2, ("amlrun: %s\n" % text).encode("utf-8", "replace"))


def give_up(code, text):
    say(text)
    sys.exit(code)


def free_ports(count):
    """Ports of this machine that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def shared(host, place):
    """The variables that all ranks have in common."""
    port = str(OPTIONS.get("port") or free_ports(1)[0])
    if KIND == "pytorch":
        backend = {"gloo": "Gloo", "mpi": "OpenMpi"}.get(OPTIONS.get("backend"), "Nccl")
        return {"MASTER_ADDR": host, "MASTER_PORT": port, "AZUREML_COMMUNICATOR": backend}
    if KIND == "mpi":
        name = {"intelmpi": "IntelMpi"}.get(OPTIONS.get("implementation"), "OpenMpi")
        return {"AZ_BATCH_MASTER_NODE": "%s:%s" % (host, port), "AZ_BATCHAI_MPI_MASTER_NODE": host,
                "AZUREML_COMMUNICATOR": name}
    places = [place(rank) for rank in range(TOTAL)]
    cluster = {"worker": places[:TOTAL - SERVERS]}
    if SERVERS:
        cluster["ps"] = places[TOTAL - SERVERS:]
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "environment": "cloud"}), "AZUREML_COMMUNICATOR": "ParameterServer"}


def own(rank, node, local):
    """The variables of one rank."""
    here = min(EACH, TOTAL - node * EACH)
    if KIND == "pytorch":
        numbers = {"RANK": rank, "WORLD_SIZE": TOTAL, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": here, "NODE_RANK": node,
                   "GROUP_RANK": node, "GROUP_WORLD_SIZE": NODES, "ROLE_RANK": rank, "ROLE_WORLD_SIZE": TOTAL}
        return dict({name: str(number) for name, number in numbers.items()}, ROLE_NAME="default")
    if KIND == "mpi":
        numbers = {"RANK": rank, "SIZE": TOTAL, "LOCAL_RANK": local, "LOCAL_SIZE": here}
        return {"OMPI_COMM_WORLD_" + name: str(number) for name, number in numbers.items()}
    config, workers = json.loads(os.environ["TF_CONFIG"]), TOTAL - SERVERS
    server = rank >= workers
    config["task"] = {"type": "ps" if server else "worker", "index": rank - workers if server else rank}
    return {"TF_CONFIG": json.dumps(config)}


def keep(stream, rank):
    """Writes what a rank says to its log; rank 0 is heard on stdout, too."""
    path, rest = os.path.join("logs", "std_log_process_%d.txt" % rank), b""
    with open(path, "wb") as file:
        while True:
            data = os.read(stream.fileno(), 1 << 16)
            left = data if rank == 0 else b""
            while left:
                left = left[os.write(1, left):]
            rest += data
            cut = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1 if data else len(rest)
            if not SECRETS:
                cut = len(rest)
            shown, rest = rest[:cut], rest[cut:]
            for secret in SECRETS:
                shown = shown.replace(secret, b"***")
            file.write(shown)
            file.flush()
            if not data:
                return


def start(rank, variables):
    argv = argv_of()
    try:
        child = subprocess.Popen(argv, env=dict(os.environ, **variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
    except OSError as error:
        send(CHILDREN, signal.SIGKILL)
        give_up(127 if isinstance(error, FileNotFoundError) else 126, "could not run `%s`: %s" % (argv[0], error.strerror))
    thread = threading.Thread(target=keep, args=(child.stdout, rank), daemon=True)
    thread.start()
    CHILDREN[child.pid] = rank
    STARTED.append((thread, child))


# The second holds what Popen gave, too: once it is let go, the next Popen would wait for the process itself.
CHILDREN, STARTED = {}, []


def send(pids, number):
    for pid in list(pids):
        try:
            os.kill(pid, number)
        except OSError:
            pass


def asked(number, _):
    ENDS.append(number)
    # The process group has it already; in a container, and where mpirun or srun started this, there may be none.
    if os.getpid() == 1 or sys.argv[3:] == ["rank"]:
        send(CHILDREN, number)


def follow():
    """Waits for all; the first that failed, as (rank, its word), where nobody asked for the end."""
    failed = None
    while CHILDREN:
        pid, status = os.wait()
        rank = CHILDREN.pop(pid, None)
        if rank is None or status == 0 or failed:
            continue
        if os.WIFSIGNALED(status):
            time.sleep(0.3)  # who ended it may be about to end this process, too
        failed = (rank, "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else
                  "exit status %d" % os.WEXITSTATUS(status))
        if not ENDS:
            send(CHILDREN, signal.SIGTERM)
            late = threading.Timer(GRACE, lambda: send(CHILDREN, signal.SIGKILL))
            late.daemon = True
            late.start()
    for thread, _ in STARTED:
        thread.join(1.0)  # what a rank left behind may hold its output open
    return failed


def leave(word):
    """Ends as the rank did."""
    kind, number = word.rsplit(" ", 1)
    if kind == "signal":
        signal.signal(int(number), signal.SIG_DFL) if int(number) not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), int(number))
        os._exit(128 + int(number))
    os._exit(int(number))


def together():
    """All ranks as processes of this machine, which stands for all nodes."""
    ports = free_ports(TOTAL) if KIND == "tensorflow" else []
    os.environ.update(shared("127.0.0.1", lambda rank: "127.0.0.1:%d" % ports[rank]))
    for rank in range(TOTAL):
        start(rank, own(rank, rank // EACH, rank % EACH))
    failed = follow()
    if failed:
        if not ENDS:
            say("rank %d failed: %s%s" % (failed[0], failed[1], "; the others were ended" if TOTAL > 1 else ""))
        leave(failed[1])


def by(starter):
    """The ranks by mpirun or srun, which is told from the first rank that fails."""
    again = [sys.executable, "-I", "-c", "import sys; exec(sys.argv[1])", TEXT, sys.argv[2], "rank"]
    child = subprocess.Popen(starter + again, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    CHILDREN[child.pid] = 0
    first = None
    for line in iter(child.stderr.readline, b""):
        if first is None and SAYS.match(line):
            first = line.rstrip()
        elif not SAYS.match(line):
            os.write(2, line)
    code = child.wait()
    if first and not ENDS:
        os.write(2, first + b"; the others were ended\n" if TOTAL > 1 else first + b"\n")
        leave(b" ".join(SAYS.match(first).groups()).decode())
    if code:
        leave("signal %d" % -code if code < 0 else "exit status %d" % code)


def one():
    """One rank, started by mpirun or srun."""
    def number(*names):
        for name in names:
            if os.environ.get(name, "").isdigit():
                return int(os.environ[name])
        give_up(126, "the rank is in none of %s" % ", ".join(names))
    if os.environ.get("AMLRUN_STARTER") == "srun":
        rank, node, local = number("SLURM_PROCID"), number("SLURM_NODEID"), number("SLURM_LOCALID")
        variables = own(rank, node, local)
    else:
        rank = number("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
        variables = own(rank, rank // EACH, rank % EACH)
        variables.update({name: os.environ[name] for name in variables if name in os.environ})
    start(rank, variables)
    failed = follow()
    if failed:
        if not ENDS:
            say("rank %d failed: %s" % failed)
        leave(failed[1])


def by_srun():
    if TOTAL % NODES:
        # Slurm would spread them as it sees fit, and TF_CONFIG has to say where each is before it starts.
        give_up(2, "%d processes cannot be spread evenly over %d nodes; change `nodes`" % (TOTAL, NODES))
    host = socket.gethostname()
    base, names = 10000 + int(os.environ.get("SLURM_JOB_ID", "0")) * 64 % 40000, []
    if KIND == "tensorflow":
        said = subprocess.run(["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")],
                              stdout=subprocess.PIPE)
        names = said.stdout.decode().split()
    place = lambda rank: "%s:%d" % ((names or [host])[min(rank // EACH, max(len(names) - 1, 0))], base + rank)
    os.environ.update(shared(host, place))
    os.environ["AMLRUN_STARTER"] = "srun"
    argv = ["srun", "--nodes=%d" % NODES, "--ntasks=%d" % TOTAL, "--ntasks-per-node=%d" % EACH, "--distribution=block",
            "--kill-on-bad-exit=1", "--export=ALL"]
    if os.environ.get("SLURM_CPUS_PER_TASK"):
        argv.append("--cpus-per-task=" + os.environ["SLURM_CPUS_PER_TASK"])
    by(argv)


def by_mpirun():
    starter = shutil.which("mpirun") or shutil.which("mpiexec")
    if not starter:
        give_up(127, "there is no `mpirun` on the PATH; install an MPI where the job runs (on Debian: apt install openmpi-bin), "
                     "or put its bin on the PATH")
    said = subprocess.run([starter, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.environ.update(shared("127.0.0.1", None))
    argv = [starter, "-np", str(TOTAL)]
    if b"Open MPI" in said.stdout or b"OpenRTE" in said.stdout:
        argv.append("--oversubscribe")
        if os.getuid() == 0:
            os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    by(argv)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, asked)
os.makedirs("logs", exist_ok=True)
if sys.argv[3:] == ["rank"]:
    one()
elif os.environ.get("AZUREML_TARGET_TYPE") == "slurm" and os.environ.get("SLURM_JOB_ID"):
    by_srun()
elif KIND == "mpi":
    by_mpirun()
else:
    together()
