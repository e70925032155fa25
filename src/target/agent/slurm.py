# Slurm: submissions, and how the jobs are. A run belongs to one batch, which is submitted once: as a job, or as an array.
#
# What a batch is stands in a file before it is submitted, and its name at Slurm tells it from all others: whoever comes
# after a crash finds it in the queue, or in the accounts, and submits it only where it is in neither.

ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
         "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL")
EVERY = 2.0  # seconds between two questions to Slurm


class Busy(Exception):
    """Slurm does not answer now: to be tried again."""


def ask_slurm(argv, env=None, fds=()):
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              pass_fds=fds)
    except FileNotFoundError:
        raise Refused("there is no `%s` on %s; name the login node with `login`" % (argv[0], os.uname().nodename))
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace").strip()


def is_busy(said):
    return any(text in said for text in ("timed out", "Unable to contact", "Connection refused", "try again", "Zero Bytes",
                                         "slurmdbd", "Transport endpoint", "controller"))


def way_out(said):
    """What to do where sbatch refuses."""
    said = said.lower()
    if "partition" in said:
        status, names, _ = ask_slurm(["sinfo", "--noheader", "--format=%R"])
        there = "; there are " + ", ".join(sorted(set(names.split()))) if status == 0 and names.strip() else ""
        return "correct `partition` of the target%s" % there
    if "account" in said or "qos" in said:
        return "correct `account` and `qos` of the target; `sacctmgr show associations user=$USER` lists yours"
    if "node configuration" in said or "memory specification" in said or "cpu count" in said:
        return "no node has so much: lower the job's `resources`, or name another `partition`"
    return "correct the target's `options`, or the job's `resources`"


def slurm_submit(self, ask, data):
    """Puts runs that are laid out into a batch, unless they are in one, and submits the batches that are not yet."""
    home = os.path.join(self.place.folder, "slurm")
    make(home)
    guard = lock(os.path.join(home, "lock"), True)
    try:
        fresh, batches = [], []
        for run in ask["runs"]:
            folder = self.place.run(run)
            if not os.path.exists(os.path.join(folder, "spec.json")):
                raise Refused("the run is not laid out")
            mine = read_json(os.path.join(folder, "slurm.json"))
            if mine and os.path.exists(os.path.join(home, mine["batch"], "batch.json")):
                batches.append(mine["batch"])
            else:
                fresh.append(run)
        if fresh:
            batch = fresh[0]
            make(os.path.join(home, batch))
            about = {"runs": fresh, "options": ask["options"], "name": "%s.%s" % (ask["name"], batch[:16]),
                     "modules": ask["modules"]}
            # The batch first: a run that names one that is not there is in none.
            write_json(os.path.join(home, batch, "batch.json"), about)
            for at, run in enumerate(fresh):
                write_json(os.path.join(self.place.run(run), "slurm.json"), {"batch": batch, "index": at})
            batches.append(batch)
    finally:
        os.close(guard)
    for batch in sorted(set(batches)):
        try:
            submit_batch(self, os.path.join(home, batch), ask["secrets"])
        except Busy as busy:
            return {"busy": str(busy)}
    return {}


def submit_batch(self, folder, secrets):
    guard = lock(os.path.join(folder, "lock"), True)
    try:
        number = os.path.join(folder, "job")
        if os.path.exists(number):
            return
        about = read_json(os.path.join(folder, "batch.json"))
        if about is None:
            raise Refused("the submission was withdrawn")
        if os.path.exists(os.path.join(folder, "tried")):
            found = find_by_name(about["name"])
            if found:
                write_whole(number, found.encode("ascii"))
                return
        write_whole(os.path.join(folder, "tried"), b"")
        many = len(about["runs"]) > 1
        write_whole(os.path.join(folder, "runs"), "".join(run + "\n" for run in about["runs"]).encode("ascii"))
        script = os.path.join(folder, "script.sh")
        quote = lambda text: "'" + text.replace("'", "'\\''") + "'"
        lines = ["#!/bin/sh", "# Written by amlrun: one of its runs, or an array of them."]
        if about["modules"]:
            lines.append("if ! command -v module >/dev/null 2>&1; then . /etc/profile; fi")
            lines.append("module load " + " ".join(quote(module) for module in about["modules"]))
        lines += ['run=$(sed -n "$((${SLURM_ARRAY_TASK_ID:-0} + 1))p" %s)' % quote(os.path.join(folder, "runs")),
                  "for p in %s python3 /usr/bin/python3; do" % quote(sys.executable),
                  '  if "$p" -c "import sys; sys.exit(sys.version_info < (3,6))" </dev/null >/dev/null 2>&1; then',
                  '    exec "$p" %s slurm %s/"$run"' % (quote(self.agent), quote(os.path.join(self.place.folder, "runs"))),
                  "  fi", "done", "echo amlrun: no Python 3.6 or later on $(hostname) >&2", "exit 97"]
        write_whole(script, ("\n".join(lines) + "\n").encode("utf-8"))
        argv = ["sbatch", "--parsable", "--job-name=" + about["name"], "--open-mode=append",
                "--output=" + os.path.join(folder, "%a.out" if many else "0.out"), "--chdir=" + folder]
        if many:
            argv.append("--array=0-%d" % (len(about["runs"]) - 1))
        # Its environment is where a secret travels: no command line, no file of ours.
        env = dict(os.environ, **secrets)
        # The lock goes on with sbatch, should this process be killed meanwhile: who comes next waits for its end.
        status, said, errors = ask_slurm(argv + about["options"] + ["--export=ALL", script], env, (guard,))
        if status == 0:
            write_whole(number, said.strip().split(";")[0].encode("ascii"))
            return
        if is_busy(errors):
            raise Busy("sbatch: " + errors)
        withdraw(self, folder, about)
        raise Refused("sbatch: %s: %s" % ((errors or "exit status %d" % status).replace("sbatch: error: ", ""), way_out(errors)))
    finally:
        os.close(guard)


def withdraw(self, folder, about):
    """Slurm refused: the runs are in no batch again."""
    os.unlink(os.path.join(folder, "batch.json"))
    for run in about["runs"]:
        try:
            os.unlink(os.path.join(self.place.run(run), "slurm.json"))
        except FileNotFoundError:
            pass


def find_by_name(name):
    """The number of the job or array of this name."""
    status, said, errors = ask_slurm(["squeue", "--noheader", "--states=all", "--name=" + name, "--format=%F"])
    if status:
        raise Busy("squeue: " + errors)
    if not said.strip() and shutil.which("sacct"):
        status, said, errors = ask_slurm(["sacct", "--noheader", "--allocations", "--parsable2", "--name=" + name,
                                          "--starttime=now-30days", "--format=JobID"])
        if status and is_busy(errors):
            raise Busy("sacct: " + errors)
    for line in said.split():
        return line.split("_")[0].split(".")[0]
    return None


def slurm_number(self, folder):
    """The job of a run as Slurm calls it: 17, or 17_3."""
    mine = read_json(os.path.join(folder, "slurm.json"))
    if not mine:
        return None
    batch = os.path.join(self.place.folder, "slurm", mine["batch"])
    about = read_json(os.path.join(batch, "batch.json"))
    try:
        with open(os.path.join(batch, "job")) as file:
            number = file.read().strip()
    except FileNotFoundError:
        return ""
    return "%s_%d" % (number, mine["index"]) if about and len(about["runs"]) > 1 else number


def slurm_queue(self, wanted):
    """What Slurm says of jobs: number to (state, reason). Asked once in a while, for all of them at once."""
    now = time.monotonic()
    known = getattr(self, "queue", None)
    if known and now - known[0] < EVERY:
        return known[1]
    missing = getattr(self, "missing", [])
    if missing and shutil.which("sacct"):
        # Those that the queue no longer lists; in a turn of its own, so that Slurm is asked once at a time.
        self.missing = []
        said = dict(known[1])
        status, out, errors = ask_slurm(["sacct", "--noheader", "--allocations", "--parsable2",
                                         "--jobs=" + ",".join(missing), "--format=JobID,State"])
        for line in out.splitlines() if status == 0 else []:
            number, state = (line.split("|") + [""])[:2]
            said[number] = (state.split(" ")[0], state)
        if status:
            said["busy"] = errors
        self.queue = (time.monotonic(), said)
        return said
    said = {}
    status, out, errors = ask_slurm(["squeue", "--noheader", "--array", "--states=all", "--user=%d" % os.getuid(),
                                     "--format=%F|%K|%T|%r"])
    if status:
        said = dict(known[1] if known else {}, busy=errors)
    for line in out.splitlines() if status == 0 else []:
        number, index, state, reason = (line.strip().split("|") + [""] * 4)[:4]
        said[number if not index.isdigit() else "%s_%s" % (number, index)] = (state, reason)
    if status == 0:
        self.missing = [number for number in wanted if number and number not in said]
    self.queue = (time.monotonic(), said)
    return said


def slurm_states(self, runs):
    answers, waiting = {}, {}
    for run in runs:
        folder = self.place.run(run)
        status = read_json(os.path.join(folder, "status.json"))
        if status is not None and "ended" not in status:
            answers[run] = dict(status, kind="ended")
            continue
        if not os.path.exists(os.path.join(folder, "spec.json")):
            answers[run] = {"kind": "absent"}
            continue
        number = slurm_number(self, folder)
        if not number:
            answers[run] = {"kind": "laid"}  # submit it (again): what was submitted is found
        else:
            waiting[run] = number
    self.followed = getattr(self, "followed", set()) | set(waiting.values())
    queue = slurm_queue(self, self.followed) if waiting else {}
    for run, number in waiting.items():
        answers[run] = slurm_state(self, self.place.run(run), number, queue)
    for run in answers:
        if answers[run]["kind"] == "ended" and run not in waiting:
            self.followed.discard(slurm_number(self, self.place.run(run)))
    return [answers[run] for run in runs]


def slurm_state(self, folder, number, queue):
    found = queue.get(number)
    begun = os.path.exists(os.path.join(folder, "begun"))
    if found is None:
        if "busy" in queue:
            return {"kind": "running"} if begun else {"kind": "queued", "why": "Slurm does not answer: " + queue["busy"]}
        seen = self.__dict__.setdefault("unseen", {})
        if time.monotonic() - seen.setdefault(number, time.monotonic()) < 30:
            return {"kind": "running"} if begun else {"kind": "queued", "why": "not listed yet"}
        status = read_json(os.path.join(folder, "status.json"))
        if status is not None:
            return dict(status, kind="ended")
        return {"kind": "lost", "why": "Slurm does not know job %s any more" % number}
    state, reason = found
    if state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUE_FED"):
        return {"kind": "queued", "why": "Slurm job %s: %s" % (number, reason)}
    if state not in ENDED:
        return {"kind": "running"}
    # What the supervisor wrote may need a moment to be seen through a network file system.
    over = self.__dict__.setdefault("over", {})
    if time.monotonic() - over.setdefault(number, time.monotonic()) < (4 if state in ("COMPLETED", "FAILED") else 1):
        return {"kind": "running"}
    status = read_json(os.path.join(folder, "status.json"))
    if status is not None and "ended" not in status:
        return dict(status, kind="ended")
    spec = read_json(os.path.join(folder, "spec.json")) or {}
    used = {name: status[name] for name in ("cpu_ms", "peak_memory") if status and name in status}
    if state == "CANCELLED" and asked_to_end(folder):
        return dict(used, kind="ended", canceled=True)
    mine = read_json(os.path.join(folder, "slurm.json"))
    said = os.path.join(self.place.folder, "slurm", mine["batch"], "%d.out" % mine["index"])
    last = tail(said) if os.path.exists(said) else ""
    why = {"TIMEOUT": "the time limit of the job or of its partition was reached; raise `time` in `resources`",
           "OUT_OF_MEMORY": "it used more memory than it asked for; raise `memory` in `resources`",
           "PREEMPTED": "another job took its place",
           "NODE_FAIL": "its node went down",
           "CANCELLED": "it was cancelled on the cluster, not by amlrun; to submit it anew, run it again"}.get(state, last or "it ended without a word")
    return dict(used, kind="ended", broken="Slurm job %s: %s (%s)" % (number, state, why))


def slurm_end(self, ask, data):
    folder = self.place.run(ask["run"])
    if not os.path.isdir(folder):
        return {}
    ask_to_end(folder, ask["now"])
    number = slurm_number(self, folder)
    if number:
        status, _, errors = ask_slurm(["scancel", number])
        if status and "nvalid job id" not in errors:
            raise Refused("scancel: " + errors)
    elif number is None:
        write_json(os.path.join(folder, "status.json"), {"canceled": True})
    return {}


def supervise_on_slurm(folder):
    """The job itself, on its node. Slurm may start it again after its node failed, or another job took its place."""
    spec = read_json(os.path.join(folder, "spec.json"))
    if spec is None:
        raise SystemExit("the run is gone")
    mine = [os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")]
    # A controller that came back may start what still runs: then this one waits, and finds it done.
    guard = lock(os.path.join(folder, "lock"), True)
    status = read_json(os.path.join(folder, "status.json"))
    if guard is None or (status is not None and "ended" not in status):
        return
    begun = os.path.join(folder, "begun")
    before = read_json(begun)
    if os.path.exists(begun):
        if before is None or before.get("slurm") != mine:
            raise SystemExit("the run was begun by another job")
        # Begun anew, from what was sent: what an attempt left half done is none of the next one's.
        for name in ("begun", "status.json", "log"):
            if os.path.exists(os.path.join(folder, name)):
                os.unlink(os.path.join(folder, name))
        root, place, missing = raw_path(os.path.join(folder, "root")), Place(spec["folder"]), set()
        shutil.rmtree(root)
        make(root, 0o755)
        for item in spec["items"]:
            place.lay(root, item, missing)
        for path in spec["folders"]:
            make(os.path.join(root, raw(path)) if path else root, 0o755)
        if missing:
            raise SystemExit("what the run needs is not there any more")
    if asked_to_end(folder):
        write_json(os.path.join(folder, "status.json"), {"canceled": True})
        return
    told = {"secrets": {name: os.environ[name] for name in spec.get("secrets", []) if name in os.environ}, "umask": 0o022}
    status = carry_out(folder, spec, told, {}, {"slurm": mine})
    write_status(folder, status)


Server.op_slurm_submit = slurm_submit
Server.op_slurm_states = lambda self, ask, data: {"states": slurm_states(self, ask["runs"])}
Server.op_slurm_end = slurm_end
Server.slurm_states = slurm_states


def slurm_check(self, ask, data):
    """Whether Slurm answers, and would take a job with these options."""
    status, said, errors = ask_slurm(["sinfo", "--noheader", "--format=%P %a %D nodes %T"])
    if status:
        return {"good": False, "text": "sinfo: %s; is slurmctld up?" % errors}
    status, _, errors = ask_slurm(["sbatch", "--test-only"] + ask["options"] + ["--wrap=true"])
    if status:
        said = errors.replace("sbatch: error: ", "").replace("allocation failure: ", "")
        return {"good": False, "text": "sbatch would refuse: %s: %s" % (said, way_out(errors))}
    return {"good": True, "text": "; ".join(said.split("\n")[:6]).strip("; ")}


Server.op_slurm_check = slurm_check
