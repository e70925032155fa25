# The far side of amlrun: answers requests on stdin, one JSON line each (and bytes, where it says so), and supervises
# jobs. Runs on Python 3.6 and later with its standard library alone. Sent over on every connection, so that both sides
# always speak the same protocol; kept in the target's folder by content, since supervisors outlive connections.
#
# Paths are texts whose characters are the bytes of the path (latin-1). Everything made here is the user's alone.
import errno, fcntl, hashlib, json, os, re, select, shutil, signal, socket, stat, subprocess, sys, threading, time, traceback

PASSED = ("PATH HOME USER LOGNAME SHELL LANG LANGUAGE TERM TZ TMPDIR TEMP TMP LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR "
          "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy "
          "all_proxy CUDA_HOME CUDA_PATH JAVA_HOME").split()
PREFIXES = ("LC_", "XDG_", "NVIDIA_", "SLURM", "ROCR_", "GPU_DEVICE", "PMI_", "PMIX_")
TAKEN = "CUDA_VISIBLE_DEVICES"
NOTICE = 2.0  # seconds between a request to end that comes from outside, and the SIGKILL that follows it


class Refused(Exception):
    """A request that cannot be carried out: the text says why, and what to do."""


def raw(text):
    return text.encode("latin-1")


def shown(path):
    return path.decode("latin-1") if isinstance(path, bytes) else path


def make(path, mode=0o700):
    try:
        os.makedirs(path, mode)
    except FileExistsError:
        pass


def write_whole(path, data):
    """A file that is there whole or not at all, and on disk when this returns."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        remove(temporary)
        raise
    os.rename(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:
        pass
    os.close(folder)


def read_json(path):
    try:
        with open(path, "rb") as file:
            return json.loads(file.read().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_json(path, value):
    write_whole(path, json.dumps(value).encode("utf-8"))


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def held(path):
    """Whether some process holds the lock of this file."""
    try:
        handle = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)


def lock(path, wait):
    """The lock of a file, held as long as the answer is open; None where somebody else has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return handle
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return handle  # a file system without locks
        os.close(handle)
        return None


def check_of(data):
    return hashlib.sha256(data).hexdigest()


def is_full(error):
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def full(folder, error):
    """Words on a disk that takes no more."""
    try:
        disk = os.statvfs(folder)
        free = "no more files" if disk.f_files and not disk.f_favail else "%.1f MiB free" % (disk.f_bavail * disk.f_frsize / 2**20)
    except OSError:
        free = error.strerror
    what = "the quota on" if error.errno == errno.EDQUOT else "the disk of"
    return "%s %s is full (%s): make room there, or name another `directory` for the target, and run it again" % (what, folder, free)


def file_check(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Place:
    """The target's folder."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = os.path.join(folder, "objects-v1")

    def run(self, run):
        if not re.match("^[0-9a-f]{32}$", run):
            raise Refused("not a run: %r" % run)
        return os.path.join(self.folder, "runs", run)

    # --- Objects: named by their content's digest and a checksum that Python can compute.

    def find(self, digest):
        """The object's path, or None."""
        shard = os.path.join(self.objects, digest[:2])
        names = self.shards.get(shard) if hasattr(self, "shards") else None
        if names is None:
            try:
                # What another sender is about to put there has no checksum in its name yet.
                names = {name[:64]: name for name in os.listdir(shard) if name[64:65] == "-"}
            except FileNotFoundError:
                names = {}
            if hasattr(self, "shards"):
                self.shards[shard] = names
        name = names.get(digest)
        return os.path.join(shard, name) if name else None

    def remember(self, digest, check):
        if hasattr(self, "shards"):
            shard = os.path.join(self.objects, digest[:2])
            self.shards.setdefault(shard, {})[digest] = "%s-%s" % (digest, check)

    def forget_object(self, digest, path):
        make(os.path.join(self.folder, "damaged"))
        try:
            os.rename(path, os.path.join(self.folder, "damaged", os.path.basename(path)))
        except OSError:
            pass
        if hasattr(self, "shards"):
            self.shards.get(os.path.join(self.objects, digest[:2]), {}).pop(digest, None)

    def keep(self, digest, data):
        if self.find(digest):
            return
        check = check_of(data)
        shard = os.path.join(self.objects, digest[:2])
        make(shard)
        temporary = os.path.join(shard, "%s.%d.tmp" % (digest, os.getpid()))
        try:
            with open(temporary, "wb") as file:
                file.write(data)
        except OSError:
            remove(temporary)
            raise
        os.chmod(temporary, 0o400)
        os.rename(temporary, os.path.join(shard, "%s-%s" % (digest, check)))
        self.remember(digest, check)

    def read(self, digest):
        """The verified bytes of an object, or None where it is missing or damaged."""
        path = self.find(digest)
        if not path:
            return None
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = None
        if data is None or check_of(data) != path[-64:]:
            self.forget_object(digest, path)
            return None
        return data

    def copy(self, digest, to, executable):
        """Writes a verified object to a new file; False where it is missing or damaged."""
        path = self.find(digest)
        if not path:
            return False
        try:
            source = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self.forget_object(digest, path)
            return False
        # By descriptors: what Python wraps around them costs more than a small file does.
        try:
            file = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if executable else 0o644)
            try:
                digest_now, left = hashlib.sha256(), os.fstat(source).st_size
                while left > 0:
                    block = os.read(source, min(left, 1 << 20))
                    if not block:
                        break
                    left -= len(block)
                    digest_now.update(block)
                    while block:
                        block = block[os.write(file, block):]
            finally:
                os.close(file)
        finally:
            os.close(source)
        if digest_now.hexdigest() != path[-64:]:
            os.unlink(to)
            self.forget_object(digest, path)
            return False
        return True

    def node(self, digest):
        """A tree node's entries: (tag, digest, name)."""
        data = self.read(digest)
        if data is None:
            return None
        magic = b"amlrun tree 1\n"
        if not data.startswith(magic):
            raise Refused("not a tree: %s" % digest)
        entries, at = [], len(magic)
        while at < len(data):
            tag, size = chr(data[at]), int.from_bytes(data[at + 41:at + 45], "little")
            name = data[at + 45:at + 45 + size]
            if name in (b"", b".", b"..") or b"/" in name:
                raise Refused("a harmful tree: %s" % digest)
            entries.append((tag, data[at + 1:at + 33].hex(), name))
            at += 45 + size
        return entries

    def lay(self, root, item, missing):
        """Writes one item (a tree, a file or a link) below the run directory."""
        path, tag, digest = raw(item[0]), item[1], item[2]
        at = os.path.join(root, path) if path else root
        if tag == "d":
            open_trees = [(at, digest)]
            while open_trees:
                folder, digest = open_trees.pop()
                make(folder, 0o755)
                entries = self.node(digest)
                if entries is None:
                    missing.add(digest)
                    continue
                for tag, digest, name in entries:
                    below = os.path.join(folder, name)
                    if tag == "d":
                        open_trees.append((below, digest))
                    else:
                        self.leaf(below, tag, digest, missing)
        else:
            make(os.path.dirname(at), 0o755)
            self.leaf(at, tag, digest, missing)

    def leaf(self, at, tag, digest, missing):
        if tag == "l":
            text = self.read(digest)
            if text is None:
                missing.add(digest)
            elif not os.path.islink(at):
                os.symlink(text, at)
        elif not os.path.lexists(at):
            if missing and not self.find(digest):
                missing.add(digest)
            elif not self.copy(digest, at, tag == "x"):
                missing.add(digest)

    # --- What is over

    def let_go(self, folder):
        """Removes a run's folder: a large one is put aside, so that nobody waits for it."""
        names = (name for _, folders, names in os.walk(raw_path(folder)) for name in folders + names)
        if any(at == 500 for at, _ in enumerate(names)):
            trash = os.path.join(self.folder, "trash")
            try:
                make(trash)
                return os.rename(folder, os.path.join(trash, os.path.basename(folder)))
            except OSError:
                pass
        shutil.rmtree(raw_path(folder), ignore_errors=True)

    def empty_trash(self):
        """Removes what was put aside, by a process of its own; at once where the room may be wanted."""
        trash = os.path.join(self.folder, "trash")
        if not os.path.isdir(trash):
            return
        disk = os.statvfs(self.folder)
        if disk.f_bavail * 10 > disk.f_blocks:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                return
            try:
                become_another(None, "/dev/null")
                if os.fork():
                    os._exit(0)
                os.nice(10)
                shutil.rmtree(raw_path(trash), ignore_errors=True)
            finally:
                os._exit(0)
        shutil.rmtree(raw_path(trash), ignore_errors=True)

    # --- Slots: what the host has, shared by everybody's runs in this folder.

    def slots(self, run, spec):
        """Takes room for a run: its GPUs, or None and why it has to wait."""
        guard = lock(os.path.join(self.folder, "slots.lock"), True)
        try:
            path = os.path.join(self.folder, "slots.json")
            all_ = read_json(path) or {"taken": [], "waiting": []}
            alive = lambda entry: entry["run"] == run or held(os.path.join(self.run(entry["run"]), "lock"))
            taken = [entry for entry in all_["taken"] if entry["run"] != run and alive(entry)]
            waiting = [entry for entry in all_["waiting"] if alive(entry)]
            if all(entry["run"] != run for entry in waiting):
                waiting.append({"run": run, "cpus": spec["cpus"], "gpus": spec["gpus"], "memory": spec["memory"] or 0})
            room = spec["room"]
            cpus = room["cpus"] or os.cpu_count() or 1
            gpus = list(range(room["gpus"] if room["gpus"] is not None else gpus_here()))
            memory = room["memory"] or memory_here()
            whole = (cpus, len(gpus), memory)
            for entry in taken:
                cpus -= entry["cpus"]
                memory -= entry["memory"]
                gpus = [gpu for gpu in gpus if gpu not in entry["numbers"]]
            found = None
            for entry in waiting:
                wants = [min(want, all_) for want, all_ in zip((entry["cpus"], entry["gpus"], entry["memory"]), whole)]
                if wants[0] <= cpus and wants[1] <= len(gpus) and wants[2] <= memory:
                    if entry["run"] == run:
                        found = gpus[:wants[1]]
                        taken.append({"run": run, "cpus": wants[0], "memory": wants[2], "numbers": found})
                        break
                    cpus, gpus, memory = cpus - wants[0], gpus[wants[1]:], memory - wants[2]
            if found is not None:
                waiting = [entry for entry in waiting if entry["run"] != run]
            write_json(path, {"taken": taken, "waiting": waiting})
            busy = "waits for room: %d running, %d waiting on this host" % (len(taken), len(waiting))
            return found, busy
        finally:
            os.close(guard)

    def release(self, run):
        guard = lock(os.path.join(self.folder, "slots.lock"), True)
        try:
            path = os.path.join(self.folder, "slots.json")
            all_ = read_json(path) or {"taken": [], "waiting": []}
            write_json(path, {name: [e for e in all_[name] if e["run"] != run] for name in ("taken", "waiting")})
        finally:
            os.close(guard)


def gpus_here():
    try:
        return sum(1 for name in os.listdir("/dev") if re.match("^nvidia[0-9]+$", name))
    except OSError:
        return 0


def memory_here():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 1 << 62


# --- Requests


class Server:
    def __init__(self, text):
        self.text = text
        self.place = None

    def op_hello(self, ask, data):
        folder = os.path.join(os.path.expanduser("~"), os.path.expanduser(ask["directory"] or ".amlrun"))
        try:
            for name in ("agent", "objects-v1", "runs", "incoming", "environments-v1"):
                make(os.path.join(folder, name))
            os.chmod(folder, 0o700)
            agent = os.path.join(folder, "agent", hashlib.sha256(self.text).hexdigest()[:32] + ".py")
            if not os.path.exists(agent):
                write_whole(agent, self.text)
        except OSError as error:
            if is_full(error):
                raise Refused(full(folder, error))
            raise Refused("the folder %s cannot be used: %s; name another with `directory`" % (folder, error))
        self.place, self.agent = Place(folder), agent
        return {"directory": folder, "python": sys.version.split()[0], "host": os.uname().nodename}

    def op_check(self, ask, data):
        disk = os.statvfs(self.place.folder)
        found = {"python": sys.version.split()[0], "executable": sys.executable, "time": time.time(),
                 "cpus": os.cpu_count(), "memory": memory_here(), "gpus": gpus_here(), "names": [],
                 "free": disk.f_bavail * disk.f_frsize, "directory": self.place.folder, "host": os.uname().nodename,
                 "tools": [name for name in ("uv", "tar", "sbatch", "docker", "podman") if shutil.which(name)]}
        for python in [sys.executable, shutil.which("python3")]:
            if python and "venv" not in found["tools"] and is_quiet([python, "-c", "import venv, ensurepip"]):
                found["tools"].append("venv")
        if shutil.which("nvidia-smi"):
            try:
                said = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], timeout=20,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode("utf-8", "replace")
                found["names"] = [line.strip() for line in said.splitlines() if line.strip()]
                found["gpus"] = len(found["names"])
            except (OSError, subprocess.SubprocessError):
                pass
        return found

    def op_has(self, ask, data):
        self.place.shards = {}
        missing = [digest for digest in ask["digests"] if not self.place.find(digest)]
        return {"missing": missing}

    def op_pack(self, ask, data):
        at = 0
        if not hasattr(self.place, "shards"):
            self.place.shards = {}
        for digest, size, check in ask["files"]:
            piece = data[at:at + size]
            at += size
            if check_of(piece) != check:
                raise Refused("what arrived is not what was sent")
            self.place.keep(digest, piece)
        return {}

    def op_part(self, ask, data):
        path = os.path.join(self.place.folder, "incoming", "%s.%s" % (ask["digest"], ask["sender"]))
        return {"size": os.path.getsize(path) if os.path.exists(path) else 0}

    def op_put(self, ask, data):
        path = os.path.join(self.place.folder, "incoming", "%s.%s" % (ask["digest"], ask["sender"]))
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with os.fdopen(handle, "r+b") as file:
                if file.seek(0, 2) < ask["offset"]:
                    raise Refused("a piece is missing")
                file.seek(ask["offset"])
                file.write(data)
                file.truncate()
        except OSError as error:
            why = full(self.place.folder, error)
            remove(path)  # half a file on a full disk is of no use to anybody
            if is_full(error):
                raise Refused(why)
            raise
        if ask["check"]:
            if file_check(path) != ask["check"]:
                os.unlink(path)
                raise Refused("what arrived is not what was sent")
            shard = os.path.join(self.place.objects, ask["digest"][:2])
            make(shard)
            os.chmod(path, 0o400)
            os.rename(path, os.path.join(shard, "%s-%s" % (ask["digest"], ask["check"])))
            self.place.remember(ask["digest"], ask["check"])
        return {}

    def op_lay(self, ask, data):
        folder = self.place.run(ask["run"])
        make(folder)
        root = raw_path(os.path.join(folder, "root"))
        guard = lock(os.path.join(folder, "lock"), False)
        if guard is None:
            return {"missing": []}
        try:
            if os.path.exists(os.path.join(folder, "spec.json")):
                return {"missing": []}
            make(root, 0o755)
            missing = set()
            self.place.shards = {}
            for item in ask["items"]:
                self.place.lay(root, item, missing)
            if not missing:
                for path in ask["folders"]:
                    make(os.path.join(root, raw(path)) if path else root, 0o755)
                spec = dict(ask["spec"], run=ask["run"], folder=self.place.folder, items=ask["items"], folders=ask["folders"])
                reserve(folder)
                write_json(os.path.join(folder, "spec.json"), spec)
            return {"missing": sorted(missing)}
        except OSError as error:
            # Nothing was started: what there is takes room on what may be a full disk.
            why = full(self.place.folder, error)
            shutil.rmtree(root, ignore_errors=True)
            remove(os.path.join(folder, "status.room"))
            if os.listdir(folder) == ["lock"]:
                shutil.rmtree(folder, ignore_errors=True)
            if is_full(error):
                raise Refused(why)
            raise
        finally:
            os.close(guard)

    def op_start(self, ask, data):
        folder = self.place.run(ask["run"])
        if not os.path.exists(os.path.join(folder, "spec.json")):
            raise Refused("the run is not laid out")
        said = os.path.join(folder, "supervisor.log")
        # Forked, as Python need not be started for it and this program not be read again.
        heard, speaks = os.pipe()
        child = os.fork()
        if not child:
            try:
                become_another(speaks, said)
                supervise(folder, {"secrets": ask["secrets"], "umask": UMASK})
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        os.close(speaks)
        with os.fdopen(heard, "rb") as file:
            answer = file.read()
        os.waitpid(child, 0)
        if not answer:
            raise Refused("the supervisor could not be started: %s" % tail(said))
        return {}

    def op_look(self, ask, data):
        folder = self.place.run(ask["run"])
        if ask.get("slurm"):
            state = self.slurm_states([ask["run"]])[0]
        else:
            state = self.ray_state(ask["run"]) if ask.get("ray") else self.state(folder)
        answer = {"state": state, "log": 0, "files": [], "followed": []}
        pieces = []
        piece = read_from(os.path.join(folder, "log"), ask["log"], 1 << 20)
        answer["log"] = len(piece)
        pieces.append(piece)
        spec = read_json(os.path.join(folder, "spec.json"))
        if spec and ask["logs"]:
            logs = os.path.join(raw_path(folder), b"root", raw(spec["cwd"]), b"logs")
            for at, folders, names in os.walk(logs):
                for name in names:
                    path = os.path.join(at, name)
                    text = shown(os.path.relpath(path, logs))
                    if os.path.isfile(path) and not os.path.islink(path):
                        piece = read_from(path, ask["seen"].get(text, 0), 1 << 18)
                        if piece:
                            answer["files"].append([text, len(piece)])
                            pieces.append(piece)
        for text in sorted(ask.get("follow", {})):
            path = os.path.join(raw_path(folder), b"root", raw(text))
            if os.path.isfile(path):
                piece = read_from(path, ask["follow"][text], 1 << 18)
                if piece:
                    answer["followed"].append([text, len(piece)])
                    pieces.append(piece)
        return answer, b"".join(pieces)

    def state(self, folder):
        status = os.path.join(folder, "status.json")
        found = read_json(status)
        if found is None and os.path.exists(os.path.join(folder, "spec.json")):
            running = held(os.path.join(folder, "lock"))
            begun = os.path.exists(os.path.join(folder, "begun"))
            if not running:
                found = read_json(status)  # it may have ended between the two looks
                if found is None:
                    return {"kind": "lost" if begun else "laid"}
            elif begun:
                return {"kind": "running"}
            else:
                return {"kind": "queued", "why": (read_json(os.path.join(folder, "queued.json")) or {}).get("why", "")}
        return dict(found, kind="ended") if found is not None else {"kind": "absent"}

    def op_states(self, ask, data):
        return {"states": [self.state(self.place.run(run)) for run in ask["runs"]]}

    def op_end(self, ask, data):
        folder = self.place.run(ask["run"])
        if not os.path.isdir(folder):
            return {}
        ask_to_end(folder, ask["now"])
        guard = lock(os.path.join(folder, "lock"), False)
        if guard is not None:
            if not os.path.exists(os.path.join(folder, "begun")) and not read_json(os.path.join(folder, "status.json")):
                write_json(os.path.join(folder, "status.json"), {"canceled": True})
            os.close(guard)
        return {}

    def op_list(self, ask, data):
        root = os.path.join(raw_path(self.place.run(ask["run"])), b"root")
        found = []
        for path in ask["paths"]:
            at = os.path.join(root, raw(path))
            entries = []
            if os.path.isdir(at) and not os.path.islink(at):
                entries.append(["", "d", 0, ""])
                for folder, folders, names in os.walk(at):
                    for name in sorted(folders + names):
                        one = os.path.join(folder, name)
                        entries.append([shown(os.path.relpath(one, at))] + self.entry(one))
            elif os.path.lexists(at):
                entries.append([""] + self.entry(at))
            found.append(entries)
        return {"found": found}

    def entry(self, path):
        about = os.lstat(path)
        if stat.S_ISLNK(about.st_mode):
            return ["l", 0, shown(os.readlink(path))]
        if stat.S_ISDIR(about.st_mode):
            return ["d", 0, ""]
        if not stat.S_ISREG(about.st_mode):
            raise Refused("`%s` is neither file, folder nor symlink: it cannot be kept" % os.fsdecode(path))
        return ["x" if about.st_mode & 0o100 else "f", about.st_size, file_check(path)]

    def op_fetch(self, ask, data):
        root = os.path.join(raw_path(self.place.run(ask["run"])), b"root")
        pieces = [read_from(os.path.join(root, raw(path)), offset, length) for path, offset, length in ask["pieces"]]
        return {"sizes": [len(piece) for piece in pieces]}, b"".join(pieces)

    def op_adopt(self, ask, data):
        root = os.path.join(raw_path(self.place.run(ask["run"])), b"root")
        self.place.shards = {}
        for path, digest, check in ask["files"]:
            if not self.place.find(digest):
                shard = os.path.join(self.place.objects, digest[:2])
                try:
                    make(shard)
                    os.link(os.path.join(root, raw(path)), raw_path(os.path.join(shard, "%s-%s" % (digest, check))))
                except OSError:
                    pass
        return {}

    def op_forget(self, ask, data):
        for run in ask["runs"]:
            folder = self.place.run(run)
            batch = (read_json(os.path.join(folder, "slurm.json")) or {}).get("batch")
            if read_json(os.path.join(folder, "status.json")) is not None or self.state(folder)["kind"] in ("laid", "lost"):
                self.place.let_go(folder)
            if batch:
                batch = os.path.join(self.place.folder, "slurm", batch)
                about = read_json(os.path.join(batch, "batch.json")) or {"runs": []}
                if not any(os.path.exists(self.place.run(run)) for run in about["runs"]):
                    shutil.rmtree(batch, ignore_errors=True)
        self.place.empty_trash()
        return {}

    # --- Environments

    def op_probe(self, ask, data):
        """The interpreters that answer to these names, with what is installed for each."""
        answers = []
        for name in ask["names"]:
            path = os.path.expanduser(name) if "/" in name else shutil.which(name)
            probe = path and probe_of(path, ask["probe"])
            if probe:
                answers.append(dict(probe, found=path, packages=packages_of(probe)))
                if probe["implementation"] + " " + probe["version"] == ask["stop"]:
                    break
        return {"answers": answers}

    def op_build(self, ask, data):
        """Begins to build an environment, unless it is there; tells how that goes."""
        folder = os.path.join(self.place.folder, "environments-v1", ask["key"])
        state = read_json(os.path.join(folder, "amlrun-environment.json"))
        log = folder + ".log"
        answer = {"state": "building", "python": os.path.join(folder, "bin", "python")}
        if state and os.path.exists(answer["python"]):
            answer["state"] = "ready"
        elif not held(folder + ".lock"):
            failed = read_json(folder + ".failed")
            if failed and ask["begun"]:
                answer.update(state="failed", why=failed["why"])
            else:
                if os.path.exists(folder + ".failed"):
                    os.unlink(folder + ".failed")
                write_json(folder + ".json", dict(ask, folder=folder))
                with open(log, "wb") as said:
                    process = subprocess.Popen([sys.executable, self.agent, "build", folder], stdin=subprocess.DEVNULL,
                                               stdout=subprocess.PIPE, stderr=said, start_new_session=True, cwd="/")
                    process.communicate()
        piece = read_from(log, ask["log"], 1 << 18)
        return dict(answer, log=len(piece)), piece

    def serve(self):
        source, sink = sys.stdin.buffer, sys.stdout.buffer
        sink.write(b"amlrun-agent 1\n")
        sink.flush()
        busy, alone = threading.Event(), threading.Lock()

        def breathe():
            """A sign of life every few seconds of long work, so that the other side can tell it from a dead connection."""
            while True:
                busy.wait()
                time.sleep(5)
                with alone:
                    if busy.is_set():
                        try:
                            sink.write(b"\n")
                            sink.flush()
                        except OSError:
                            os._exit(1)

        threading.Thread(target=breathe, daemon=True).start()
        while True:
            line = source.readline()
            if not line.endswith(b"\n"):
                return
            ask = json.loads(line.decode("utf-8"))
            data = source.read(ask["bytes"]) if ask.get("bytes") else b""
            if len(data) != ask.get("bytes", 0):
                return
            busy.set()
            try:
                answer = getattr(self, "op_" + ask["op"])(ask, data)
                answer, data = answer if isinstance(answer, tuple) else (answer, b"")
            except Refused as refused:
                answer, data = {"refused": str(refused)}, b""
            except OSError as error:
                name = error.filename if error.filename is not None else ask["op"]
                said = "%s: %s" % (os.fsdecode(name), error.strerror)
                answer, data = {"refused": full(self.place.folder, error) if is_full(error) else said}, b""
            answer["bytes"] = len(data)
            with alone:
                busy.clear()
                sink.write(json.dumps(answer).encode("utf-8") + b"\n" + data)
                sink.flush()


def raw_path(path):
    return os.fsencode(path)


def read_from(path, offset, most):
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(most)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""


def is_quiet(argv):
    """Whether a command succeeds; what it says is not wanted."""
    return subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def tail(path):
    lines = read_from(path, max(0, os.path.getsize(path) - 2000), 2000).decode("utf-8", "replace").strip().splitlines()
    return "; ".join(lines[-3:])


def probe_of(path, script):
    try:
        said = subprocess.run([path, "-B", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60,
                              stderr=subprocess.PIPE).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return None
    for line in reversed(said.splitlines()):
        if line.startswith("amlrun-probe:"):
            return json.loads(line[len("amlrun-probe:"):])
    return None


def packages_of(probe):
    """Distributions by their normalised names, as the folders on the path are named."""
    found = {}
    for folder in probe["path"]:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            match = re.match(r"^([^~].*?)-([0-9].*?)(-py[0-9].*)?\.(dist-info|egg-info)$", name)
            if match:
                found.setdefault(re.sub("[-_.]+", "-", match.group(1)).lower(), match.group(2))
    return found


# --- Building an environment


def build(folder):
    guard = lock(folder + ".lock", False)
    if guard is None or os.fork():
        os._exit(0)
    os.setsid()
    os.close(1)
    ask = read_json(folder + ".json")
    log = os.open(folder + ".log", os.O_WRONLY | os.O_APPEND)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        run = lambda *argv: call(argv, log)
        run(ask["base"], "-m", "venv", "--without-pip", "--symlinks", folder)
        python = os.path.join(folder, "bin", "python")
        uv = shutil.which("uv")
        if any(ask["texts"]) and not uv:
            pip = os.path.join(os.path.dirname(folder), "pip-" + hashlib.sha256(ask["base"].encode("utf-8")).hexdigest()[:16])
            alone = lock(pip + ".lock", True)
            if not os.path.exists(os.path.join(pip, "complete")):
                shutil.rmtree(pip, ignore_errors=True)
                run(ask["base"], "-m", "venv", pip)
                run(os.path.join(pip, "bin", "python"), "-m", "pip", "install", "--quiet", "--upgrade", "pip>=22.3")
                write_whole(os.path.join(pip, "complete"), b"")
            os.close(alone)
        for text, hashed in zip(ask["texts"], (True, False)):
            if text:
                file = folder + ".requirements.txt"
                write_whole(file, text.encode("utf-8"))
                if uv:
                    start = [uv, "pip", "install", "--compile-bytecode", "--color=never", "--no-progress", "--python", python]
                else:
                    start = [os.path.join(pip, "bin", "python"), "-m", "pip", "--python", python, "install", "--no-user",
                             "--no-color", "--progress-bar=off", "--no-warn-script-location"]
                run(*(start + ["--no-deps"] + (["--require-hashes"] if hashed else []) + ["-r", file]))
                os.unlink(file)
        write_json(os.path.join(folder, "amlrun-environment.json"), {"format": 1, "key": ask["key"]})
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)  # first, as the disk may be full
        write_json(folder + ".failed", {"why": str(error)})
    os._exit(0)


def call(argv, log):
    process = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                             env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")})
    if process.returncode:
        raise Refused("`%s` ended with %d" % (" ".join(argv), process.returncode))


# --- Supervising a run


ANSWER = 3  # the descriptor by which a supervisor says that it took the run over


def become_another(speaks, said):
    """After a fork: lets go of all that is the connection's, so that the two can end one without the other."""
    os.setsid()
    os.chdir("/")
    null, log = os.open("/dev/null", os.O_RDWR), os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for of, to in ((null, 0), (null, 1), (log, 2)):
        os.dup2(of, to)
    if speaks not in (None, ANSWER):
        os.dup2(speaks, ANSWER, inheritable=False)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(1024)):
        if int(name) > (ANSWER if speaks is not None else 2):
            try:
                os.close(int(name))
            except OSError:
                pass


def supervise(folder, told):
    """Runs a job to its end and writes how it ended. Holds the run's lock as long as it lives: two never run one job."""
    guard = lock(os.path.join(folder, "lock"), False)
    if guard is None or read_json(os.path.join(folder, "status.json")) is not None:
        os.write(ANSWER, b"there already")
        return
    spec = read_json(os.path.join(folder, "spec.json"))
    place = Place(spec["folder"])
    if os.path.exists(os.path.join(folder, "begun")):
        # Whoever ran it is gone without a word: what became of it is not known, so it is not run again by itself.
        os.write(ANSWER, b"lost")
        return
    if os.fork():
        os.write(ANSWER, b"ok")
        os._exit(0)
    os.close(ANSWER)
    os.setsid()
    try:
        status = wait_and_carry_out(folder, spec, place, told)
    except OSError as error:
        status = {"broken": full(place.folder, error) if is_full(error) else str(error)}
    try:
        place.release(spec["run"])
    except OSError:
        pass  # what holds no lock any more holds no room either
    write_status(folder, status)


def wait_and_carry_out(folder, spec, place, told):
    gpus, since = None, 0
    while gpus is None:
        if asked_to_end(folder):
            return {"canceled": True}
        gpus, why = place.slots(spec["run"], spec)
        if gpus is None:
            if time.time() - since > 2:
                since = time.time()
                write_json(os.path.join(folder, "queued.json"), {"why": why})
            time.sleep(0.1)
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in gpus)} if spec["gpus"] else {}
    return carry_out(folder, spec, told, variables)


def reserve(folder):
    """Room for how a run ends: a job that fills the disk may not keep that from being told."""
    handle = os.open(os.path.join(folder, "status.room"), os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b" " * 4096)
        file.flush()
        os.fsync(file.fileno())


def write_status(folder, status):
    """How a run ended, on disk: in the room that was kept for it where there is no other."""
    path, room = os.path.join(folder, "status.json"), os.path.join(folder, "status.room")
    while True:
        try:
            return write_json(path, status)
        except OSError as error:
            if not is_full(error):
                raise
        try:
            with open(room, "r+b") as file:
                file.write(json.dumps(status).encode("utf-8").ljust(4096))
                file.flush()
                os.fsync(file.fileno())
            return os.rename(room, path)
        except OSError:
            time.sleep(1)  # a file system that writes nothing in place: somebody has to make room


def ask_to_end(folder, now):
    path, text = os.path.join(folder, "cancel"), "now" if now else "gently"
    try:
        write_whole(path, text.encode("ascii"))
    except OSError as error:
        if not is_full(error):
            raise
        # The text of a link has room in its entry. One that is there already is from before the disk was full.
        remove(path)
        os.symlink(text, path)


def asked_to_end(folder):
    try:
        with open(os.path.join(folder, "cancel"), "rb") as file:
            return file.read().decode("ascii")
    except FileNotFoundError:
        pass
    try:
        return os.readlink(os.path.join(folder, "cancel"))
    except OSError:
        return None


def environment_of(spec, secrets, given):
    variables = {name: value for name, value in os.environ.items()
                 if name in PASSED or name.startswith(PREFIXES) or name == TAKEN}
    variables.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    if spec["path"]:
        variables["PATH"] = ":".join(spec["path"] + [variables["PATH"]])
    variables.update(given)
    variables.update(spec["variables"])
    variables.update(secrets)
    return variables


class Tracking:
    """The tracking server of a run that goes on: it listens before the job begins, and answers from a thread of this process,
    which is begun after the job's process was forked."""

    IDENTITIES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")

    def __init__(self, spec, variables, cwd):
        self.listening, self.held, self.over = None, threading.RLock(), threading.Event()
        own = spec["variables"]
        if "AMLRUN_TRACKING" not in own or not all(name in own for name in self.IDENTITIES):
            return
        try:
            self.listening = socket.socket()
            self.listening.bind(("127.0.0.1", 0))
            self.listening.listen(128)
        except OSError:
            # Without a server, the client is not to be told of a run that it could not find.
            self.listening = None
            for name in self.IDENTITIES:
                variables.pop(name, None)
            return
        self.token = os.urandom(32).hex()
        self.folder = os.path.normpath(os.path.join(os.fsdecode(cwd), own["AMLRUN_TRACKING"]))
        run, experiment, name = (own[name] for name in self.IDENTITIES)
        self.about = {"run": run, "experiment": experiment, "experiment_name": name, "name": own.get("AMLRUN_JOB", run),
                      "user": variables.get("USER", ""), "started": int(time.time() * 1000)}
        variables["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:%d" % self.listening.getsockname()[1]
        variables["MLFLOW_TRACKING_TOKEN"] = self.token
        for name in ("NO_PROXY", "no_proxy"):
            if any(variables.get(proxy) for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")):
                variables[name] = ",".join(part for part in (variables.get(name), "127.0.0.1") if part)

    def begin(self):
        if self.listening is not None:
            threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        # Compiled when somebody asks: most jobs do not.
        select.select([self.listening], [], [])
        space = {"__name__": "tracking"}
        exec(compile(TRACKING, "mlflow.py", "exec"), space)  # noqa: F821 (see mod.rs)
        space["tracking_server"](self.listening, self.folder, self.about, self.token, self.held, self.over).serve_forever()

    def end(self):
        """When this returns, nothing is written any more."""
        with self.held:
            self.over.set()


def carry_out(folder, spec, told, given, mark=None, parent=None):
    """Starts the job, follows it, and says how it ended. Where a parent is given its end is a request to end, too, which
    gives as little time as its SIGTERM does."""
    root = os.path.join(raw_path(folder), b"root")
    cwd = os.path.join(root, raw(spec["cwd"])) if spec["cwd"] else root
    secrets, argv = told.get("secrets", {}), spec["argv"]
    if spec.get("container"):
        # Nothing of this machine's: neither its variables, nor a server on its loopback.
        own = dict(given, **dict(spec["variables"], **secrets))
        for name in Tracking.IDENTITIES:
            own.pop(name, None)
        argv, variables = enclosed(spec, root, cwd, own, secrets)
        tracking = Tracking({"variables": {}}, variables, cwd)
    else:
        variables = environment_of(spec, secrets, given)
        tracking = Tracking(spec, variables, cwd)
    log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    begun = os.open(os.path.join(folder, "begun"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    about = dict(mark or {}, time=time.time(), host=os.uname().nodename, pid=os.getpid())
    os.write(begun, json.dumps(about).encode("utf-8"))
    os.fsync(begun)
    os.close(begun)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ends = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: ends.append(number))
    try:
        process = subprocess.Popen(argv, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=lambda: ready_to_run(told.get("umask", 0o022)))
    except OSError as error:
        return {"broken": "could not run `%s` in %s: %s" % (argv[0], shown(cwd), error.strerror)}
    tracking.begin()
    began, ending, since, killed = time.monotonic(), None, 0.0, False
    while True:
        pid, code, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        now, asked = time.monotonic(), asked_to_end(folder)
        if parent and not ends and os.getppid() != parent:
            ends.append(signal.SIGHUP)
        if ending is None:
            late = spec["time"] is not None and now - began >= spec["time"]
            ending = "canceled" if asked else "timed_out" if late else "ended" if ends else None
            if ending:
                since = now
                end(process.pid, signal.SIGTERM)
        grace = min(spec["grace"], NOTICE) if parent and ending == "ended" else spec["grace"]
        if ending and not killed and (asked == "now" or now - since >= grace):
            killed = True
            end(process.pid, signal.SIGKILL)
        signal.sigtimedwait([signal.SIGCHLD], 0.2)
    if parent and ending is None and os.WIFSIGNALED(code):
        time.sleep(0.3)  # who ended it may be about to end this process, too
    if ending is None and ends:
        ending = "ended"
    end(process.pid, signal.SIGKILL)
    if ending:
        end_marked(spec["run"])
    if spec.get("container") and (ending or os.WIFSIGNALED(code)):
        end_container(spec, os.WIFSIGNALED(code))
    tracking.end()
    try:
        os.fsync(log)
    except OSError:
        pass
    status = {"cpu_ms": int((used.ru_utime + used.ru_stime) * 1000), "peak_memory": used.ru_maxrss * 1024}
    if ending:
        status[ending] = spec["time"] if ending == "timed_out" else True
    if os.WIFSIGNALED(code):
        status["signal"] = os.WTERMSIG(code)
    else:
        status["code"] = os.WEXITSTATUS(code)
    if spec.get("container"):
        told_of_container(spec, status, os.path.join(folder, "log"))
    if status.get("code") != 0 and not ending and not room_left(folder):
        status["full"] = full(spec["folder"], OSError(errno.ENOSPC, "No space left on device"))
    return status


def room_left(folder):
    """Whether the disk takes a little more: asked after a job failed."""
    path = os.path.join(folder, "room")
    try:
        write_whole(path, b" " * 65536)
    except OSError as error:
        return not is_full(error)
    remove(path)
    return True


def ready_to_run(umask):
    os.setsid()
    os.umask(umask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def end(group, number):
    try:
        os.killpg(group, number)
    except OSError:
        pass


def end_marked(run):
    """What left the job's process group goes with it."""
    mark, own = ("AMLRUN_RUN_ID=" + run).encode("ascii"), os.getpid()
    for _ in range(20):
        found = False
        for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if name.isdigit() and int(name) != own:
                try:
                    with open("/proc/%s/environ" % name, "rb") as file:
                        if mark in file.read().split(b"\0"):
                            os.kill(int(name), signal.SIGKILL)
                            found = True
                except OSError:
                    pass
        if not found:
            return
        time.sleep(0.01)
