# Ray: what its Jobs API is told to run, and the job itself on the node that Ray chose. The API is asked by the other side;
# here is what lies on the file system that the nodes see: how a run ended stands there before Ray knows it.


def ray_ready(self, ask, data):
    """Writes what Ray shall run for a run that is laid out, and tells the command for it."""
    folder = self.place.run(ask["run"])
    if not os.path.exists(os.path.join(folder, "spec.json")):
        raise Refused("the run is not laid out")
    begun = any(os.path.exists(os.path.join(folder, name)) for name in ("begun", "status.json"))
    if ask["secrets"] and not begun:
        # Everybody who may ask the API sees a job's command and variables; this file is the user's alone.
        write_json(os.path.join(folder, "secrets.json"), ask["secrets"])
    quote = lambda text: "'" + text.replace("'", "'\\''") + "'"
    lines = ["#!/bin/sh", "# Written by amlrun: one of its runs, on a node of Ray.",
             "for p in %s python3 /usr/bin/python3; do" % quote(sys.executable),
             '  if "$p" -c "import sys; sys.exit(sys.version_info < (3,6))" </dev/null >/dev/null 2>&1; then',
             '    exec "$p" %s ray %s' % (quote(self.agent), quote(folder)),
             "  fi", "done", "echo amlrun: no Python 3.6 or later on $(hostname) >&2", "exit 97"]
    write_whole(os.path.join(folder, "ray.sh"), ("\n".join(lines) + "\n").encode("utf-8"))
    # A run that was let go of before its turn came is nothing to do; a folder that is not there is a fault.
    script = ask["run"] + "/ray.sh"
    command = "cd %s && if test -e %s; then exec sh %s; fi" % (quote(os.path.dirname(folder)), script, script)
    return {"entrypoint": command}


def ray_state(self, run):
    """How a run is as far as its files tell."""
    folder = self.place.run(run)
    status = read_json(os.path.join(folder, "status.json"))
    state = {"kind": "told"} if status is not None and "ended" in status else self.state(folder)
    return dict(state, asked=asked_to_end(folder) is not None)


def supervise_on_ray(folder):
    """The job itself. This process is Ray's: how it ends is how Ray takes the job to have ended. The supervisor proper is its
    child, in a session of its own, so that it outlives a SIGKILL long enough to end the job and to say so."""
    own = os.getpid()
    child = os.fork()
    if not child:
        os.setsid()
        code = 1
        try:
            code = begin_on_ray(folder, own)
        except SystemExit as gone:
            sys.stderr.write("%s\n" % gone)
        finally:
            sys.stderr.flush()
            os._exit(code)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, code = os.waitpid(child, 0)
    sys.exit(os.WEXITSTATUS(code) if os.WIFEXITED(code) else 1)


def begin_on_ray(folder, parent):
    spec = read_json(os.path.join(folder, "spec.json"))
    if spec is None:
        raise SystemExit("amlrun: the run is gone")
    guard = lock(os.path.join(folder, "lock"), True)
    if guard is None or read_json(os.path.join(folder, "status.json")) is not None:
        return 0
    if os.path.exists(os.path.join(folder, "begun")):
        raise SystemExit("amlrun: the run was begun by another job")
    secrets = os.path.join(folder, "secrets.json")
    told = {"secrets": read_json(secrets) or {}, "umask": 0o022}
    try:
        if asked_to_end(folder):
            write_json(os.path.join(folder, "status.json"), {"canceled": True})
            return 143
        sys.stderr.write("amlrun: run %s of %s; its output is %s\n" % (spec["run"], spec["job"], os.path.join(folder, "log")))
        sys.stderr.flush()
        remove(secrets)
        # By these a script finds the cluster: ray.init() takes them.
        given = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
        status = carry_out(folder, spec, told, given, {"ray": True}, parent)
        write_status(folder, status)
    finally:
        remove(secrets)
    if "code" in status:
        return status["code"]
    return 128 + status["signal"] if "signal" in status else 1


Server.op_ray_ready = ray_ready
Server.ray_state = ray_state
Server.op_ray_states = lambda self, ask, data: {"states": [ray_state(self, run) for run in ask["runs"]]}
