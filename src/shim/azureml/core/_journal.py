"""What a job tells amlrun: lines of JSON in `log.jsonl` of the folder AMLRUN_TRACKING, each written whole by one call.

The log is also the memory: what a run has logged is read back from it, so that all processes of a job see the same.
"""
import json
import os
import time

# Where the job began: files that it leaves are named from there, wherever it goes.
START = os.getcwd()


def folder():
    """The job's private folder; None where the script was not started by amlrun."""
    path = os.environ.get("AMLRUN_TRACKING")
    if not path:
        return None
    # On another machine it is named from where the job began.
    path = os.path.join(START, path)
    return path if os.path.isdir(path) else None


def root_id():
    """The id of the job's own run."""
    return os.environ.get("AZUREML_RUN_ID") or os.environ.get("AMLRUN_RUN") or "run"


def _there():
    base = folder()
    if base is None:
        from azureml.exceptions import RunEnvironmentException

        raise RunEnvironmentException("amlrun's tracking folder is gone: the job that this process belongs to is over")
    return base


def artifact(child, name):
    """Where the bytes of a file lie that was uploaded for a child, or for the job's own run (none)."""
    top = ["artifacts"] if child is None else ["children", child]
    return os.path.join(_there(), *(top + name.split("/")))


def write(run, entry):
    """Appends one line: about a child where its id is given, about the job's own run else."""
    base = _there()
    line = {"at": int(time.time() * 1000)}
    if run is not None:
        line["run"] = run
    line.update(entry)
    # Half a surrogate pair, as in a name that the system could not decode, is no text: it may not cost the line.
    data = (json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    handle = os.open(os.path.join(base, "log.jsonl"), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            # Half a line of a process that was killed, or that the disk had no room for: it spoils nothing after it.
            data = b"\n" + data
        written = os.write(handle, data)
    finally:
        os.close(handle)
    if written != len(data):
        raise OSError("could not log all of a line: is the disk full? ({})".format(base))


def entries():
    """All lines that are whole, as they were written."""
    base = folder()
    if base is None:
        return
    try:
        with open(os.path.join(base, "log.jsonl"), "rb") as log:
            for line in log:
                if line.endswith(b"\n"):
                    try:
                        entry = json.loads(line.decode("utf-8"))
                    except ValueError:
                        continue
                    if isinstance(entry, dict):
                        yield entry
    except FileNotFoundError:
        return


def of(run):
    """The lines about one run."""
    return (entry for entry in entries() if entry.get("run") == run)
