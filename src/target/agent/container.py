# Containers: an image by its identity, and a job as a process of the engine's client.

OF_CLIENT = ("DOCKER_", "CONTAINER", "XDG_")
NOT_STARTED = 125


def engine_here():
    found = shutil.which("docker") or shutil.which("podman")
    if not found:
        raise Refused("neither docker nor podman is on PATH there: install one of them, or name a target that has it")
    return found


def of_client():
    """The variables that the client needs; none of them is for the job."""
    return {name: value for name, value in os.environ.items()
            if name in PASSED or name.startswith(PREFIXES + OF_CLIENT) or name == "SSH_AUTH_SOCK"}


def ask_engine(engine, *words):
    done = subprocess.run((engine,) + words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=of_client())
    return done.returncode, done.stdout.decode("utf-8", "replace").strip(), done.stderr.decode("utf-8", "replace").strip()


def op_image(self, ask, data):
    engine = engine_here()
    status, said, errors = ask_engine(engine, "image", "inspect", "--format", "{{.Id}}", ask["identity"])
    there = status == 0 and said.replace("sha256:", "") == ask["identity"]
    if not there:
        # No such image, or no engine that could tell?
        status, _, errors = ask_engine(engine, "info")
        if status:
            raise Refused("`%s info` there: %s: is its daemon up, and may this user ask it?" % (os.path.basename(engine), errors))
    return {"engine": engine, "there": there}


def op_image_piece(self, ask, data):
    """Pieces of an image, one after the other, to the engine that reads them."""
    loading = self.__dict__.setdefault("loading", {})
    if ask["first"]:
        drop_loading(loading.pop(ask["identity"], None))
        loading[ask["identity"]] = subprocess.Popen([engine_here(), "load"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                                    stderr=subprocess.PIPE, env=of_client())
    load = loading.get(ask["identity"])
    if load is None:
        raise Refused("a piece of an image is missing; run it again")
    try:
        load.stdin.write(data)
        load.stdin.flush()
    except OSError:
        raise Refused("`docker load` there: %s" % drop_loading(loading.pop(ask["identity"])))
    return {}


def op_image_end(self, ask, data):
    load = self.__dict__.setdefault("loading", {}).pop(ask["identity"], None)
    if load is not None:
        _, errors = load.communicate()
        if load.returncode:
            raise Refused("`docker load` there: %s" % errors.decode("utf-8", "replace").strip())
    if not op_image(self, ask, b"")["there"]:
        raise Refused("the engine there gave the image another identity than the one here (%s), so its result would not be "
                      "the one of this key: name an image that both can pull, and pull it there" % ask["identity"][:12])
    return {}


def drop_loading(load):
    """Ends it before it has read a whole image, and answers what it said."""
    if load is None:
        return ""
    load.kill()
    said = load.stderr.read().decode("utf-8", "replace").strip()
    load.wait()
    return said


def bind(path):
    """A `--mount`, which is read as a line of CSV."""
    text = os.fsdecode(path).replace('"', '""')
    return 'type=bind,"source=%s","target=%s"' % (text, text)


def enclosed(spec, root, cwd, own, secrets):
    """The command of the client that runs a job in its container, and the client's variables. Those of the job go by these: a
    command line can be read by everybody."""
    container, client = spec["container"], of_client()
    engine = container["engine"]
    is_podman = os.path.basename(engine) == "podman"
    argv = [engine, "run", "--rm", "--name", "amlrun-" + spec["run"], "--workdir", cwd, "--mount", bind(root)]
    if is_podman and os.getuid():
        argv.append("--userns=keep-id")
    else:
        argv += ["--user", "%d:%d" % (os.getuid(), os.getgid())]
    inits = ["/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit", "/usr/bin/catatonit"]
    if not is_podman or any(os.path.exists(init) for init in inits):
        argv.append("--init")
    own = dict({"HOME": "/tmp"}, **own)
    for name, value in sorted(own.items()):
        if client.get(name, value) != value and name not in secrets:
            argv += ["--env", "%s=%s" % (name, value)]
        else:
            client[name] = value
            argv += ["--env", name]
    words = spec["argv"]
    return argv + container["options"] + ["--entrypoint", words[0], container["image"]] + words[1:], client


def end_container(spec, killed):
    """The engine goes on with a container whose client was killed, and may even start it a moment later."""
    for look in range(8 if killed else 1):
        time.sleep(0.2 if look else 0)
        ask_engine(spec["container"]["engine"], "rm", "--force", "--volumes", "amlrun-" + spec["run"])


def told_of_container(spec, status, log):
    """How the container ended, from how its client did. What that used says nothing of the job."""
    code = status.get("code", 0)
    status.update(cpu_ms=0, peak_memory=0)
    if code == NOT_STARTED:
        status["broken"] = "%s could not start the container of `%s`: %s" % (
            os.path.basename(spec["container"]["engine"]), spec["container"]["name"], tail(log))
    elif 128 < code < 192:
        del status["code"]
        status["signal"] = code - 128
    return status


Server.op_image = op_image
Server.op_image_piece = op_image_piece
Server.op_image_end = op_image_end
