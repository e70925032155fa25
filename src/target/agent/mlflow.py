# A tracking server for one run, on the machine that runs it: what MLflow's client asks of `MLFLOW_TRACKING_URI` there. What is
# logged becomes lines and files in the run's tracking folder (their form is described in src/tracking/mod.rs), which come
# back with the run. Of other runs it knows nothing, and says so.
#
# Loaded by the supervisor when the first connection comes; Python 3.6 and its standard library alone.
import hashlib, hmac, http.server, json, os, re, shutil, socketserver, tempfile, time, urllib.parse, uuid

PLACES = ("/api/2.0/", "/ajax-api/2.0/", "/api/3.0/", "/ajax-api/3.0/")
STAGES, STAGE, DESCRIPTION = ("None", "Staging", "Production", "Archived"), "mlflow.stage", "mlflow.description"
NAME, DELETED, REGISTERED = "mlflow.runName", "mlflow.lifecycle_stage", "mlflow.registered_model."
STATUS = {"FINISHED": "Completed", "3": "Completed", "FAILED": "Failed", "4": "Failed", "KILLED": "Canceled", "5": "Canceled"}
MOST = 64 << 20  # bytes of a request that is no file
BATCH = (("metrics", 1000), ("params", 100), ("tags", 100))
UPLOAD = ".amlrun-upload-"
ELSEWHERE = "; on a target, amlrun's tracking server knows this run and the runs within it alone"


class Wrong(Exception):
    """An answer that is a refusal, as MLflow words it."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def absent(message):
    return Wrong(404, "RESOURCE_DOES_NOT_EXIST", message)


def invalid(message):
    return Wrong(400, "INVALID_PARAMETER_VALUE", message)


def stage(name):
    for known in STAGES:
        if known.lower() == name.lower():
            return known
    raise invalid("Invalid Model Version stage: %s. Value must be one of %s." % (name, ", ".join(STAGES)))


def needed(asked, name):
    value = text(asked.get(name))
    if not value:
        raise invalid("Missing value for required parameter '%s'. See the API docs for more information about request parameters." % name)
    return value


def checked(name):
    if not name or not all(c.isalnum() or c in "_-. :/" for c in name):
        raise invalid("Invalid value \"%s\" for parameter 'key' supplied: Names may only contain alphanumerics, underscores (_), "
                      "dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)." % name)
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise invalid("Invalid value \"%s\" for parameter 'key' supplied: Names may be treated as files in certain cases, and must "
                      "not resolve to other names when treated as such." % name)
    if len(name) > 250:
        raise invalid("'%s' exceeds the maximum length of 250 characters" % name)
    return name


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def whole(value, other=0):
    try:
        return int(value)
    except (TypeError, ValueError):
        return other


def pairs(items):
    return [(text(item.get("key")), text(item.get("value"))) for item in items if isinstance(item, dict)]


def told(value):
    """A number as JSON has it, or what stands for one that it does not have."""
    if isinstance(value, float):
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
    return value


def safe(path):
    """A path whose parts are plain names, also after more escapes are undone."""
    seen = path
    for _ in range(8):
        plain = all(part not in ("", ".", "..") and not set(part) & set("\\\0\n") for part in seen.split("/"))
        if len(seen) > 4000 or not plain:
            raise invalid("Invalid path")
        after = urllib.parse.unquote(seen)
        if after == seen:
            return path.split("/")
        seen = after
    raise invalid("Invalid path")


class Run:
    def __init__(self, identity, name, experiment, user, started):
        self.id, self.name, self.experiment, self.user, self.started = identity, name, experiment, user, started
        self.status, self.ended, self.deleted = "RUNNING", None, False
        self.params, self.tags, self.series, self.inputs = {}, {}, {}, []

    def last(self, name):
        number = lambda point: float(str(point["value"]).replace("Infinity", "inf"))
        key = lambda point: (point["step"], point["timestamp"], number(point) == number(point), number(point))
        return dict(max(self.series[name], key=key), key=name)

    def info(self):
        info = {"run_uuid": self.id, "run_id": self.id, "run_name": self.tags.get(NAME, self.name), "user_id": self.user,
                "experiment_id": self.experiment, "status": self.status, "start_time": self.started,
                "artifact_uri": "mlflow-artifacts:/%s/%s/artifacts" % (self.experiment, self.id),
                "lifecycle_stage": "deleted" if self.deleted else "active"}
        if self.ended is not None:
            info["end_time"] = self.ended
        return info

    def shown(self):
        listed = lambda values: [{"key": key, "value": values[key]} for key in sorted(values)]
        data = {"metrics": [self.last(name) for name in sorted(self.series)], "params": listed(self.params),
                "tags": listed(dict({NAME: self.name}, **self.tags))}
        inputs, outputs = {}, {}
        for item in self.inputs:
            for kind, at, name in (("dataset_input", inputs, "dataset_inputs"), ("model_input", inputs, "model_inputs"),
                                   ("model_output", outputs, "model_outputs")):
                if kind in item:
                    at.setdefault(name, []).append(item[kind])
        return {"info": self.info(), "data": {k: v for k, v in data.items() if v}, "inputs": inputs, "outputs": outputs}


class Tracking:
    """What the run said so far; all of it is in its log, too."""

    def __init__(self, folder, about, held, over):
        self.folder, self.log, self.held, self.over = folder, os.path.join(folder, "log.jsonl"), held, over
        self.own = Run(about["run"], about["name"], about["experiment"], about["user"], about["started"])
        self.runs = {self.own.id: self.own}
        self.experiments = {about["experiment"]: about["experiment_name"], "0": "Default"}
        self.alias, self.models, self.registered, self.versions, self.aliases = None, {}, {}, [], {}

    def asked_of_others(self):
        """An answer that would depend on other runs elsewhere: what comes of it is not to be reused, there as here."""
        with open(os.path.join(self.folder, "told-of-others"), "a"):
            pass

    def append(self, lines):
        if self.over.is_set():
            raise Wrong(500, "INTERNAL_ERROR", "the run is over")
        if lines:
            data = "".join(json.dumps(line) + "\n" for line in lines).encode("utf-8")
            handle = os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    # Half a line of a writer that was killed, or that the disk had no room for: it spoils nothing after it.
                    data = b"\n" + data
                while data:
                    data = data[os.write(handle, data):]
            finally:
                os.close(handle)

    def run(self, asked):
        identity = text(asked.get("run_id") or asked.get("run_uuid"))
        if not identity:
            raise invalid("Missing value for required parameter 'run_id'.")
        if identity not in self.runs:
            self.asked_of_others()
            raise absent("Run with id=%s not found%s" % (identity, ELSEWHERE))
        return self.runs[identity]

    def writable(self, asked):
        run = self.run(asked)
        if run.deleted:
            raise invalid("The run %s must be in the 'active' state. Current state is deleted." % run.id)
        return run

    def about(self, run, lines):
        """Lines about a run: one within the run carries its identity."""
        return lines if run is self.own else [dict(line, run=run.id) for line in lines]

    # --- Runs

    def runs_create(self, asked):
        tags = pairs(asked.get("tags") or [])
        identity = uuid.uuid4().hex
        name = text(asked.get("run_name")) or dict(tags).get(NAME) or "run-" + identity[:8]
        experiment = text(asked.get("experiment_id")) or self.own.experiment
        if experiment not in self.experiments:
            raise absent("No Experiment with id=%s exists" % experiment)
        run = Run(identity, name, experiment, text(asked.get("user_id")) or self.own.user, whole(asked.get("start_time")))
        lines = [{"property": "mlflow.user_id", "value": run.user}] if asked.get("user_id") else []
        if experiment != self.own.experiment:
            lines.append({"experiment": self.experiments[experiment]})
        lines += [{"tag": checked(key), "value": value} for key, value in tags]
        self.append([{"at": run.started, "child": identity, "name": name}] + self.about(run, lines))
        run.tags.update(tags)
        self.runs[identity] = run
        return {"run": run.shown()}

    def runs_update(self, asked):
        run, lines = self.writable(asked), []
        if asked.get("status") is not None:
            status = text(asked["status"])
            lines.append({"at": whole(asked.get("end_time")), "status": STATUS.get(status, "Running")})
        if asked.get("run_name"):
            lines.append({"tag": NAME, "value": text(asked["run_name"])})
        self.append(self.about(run, lines))
        for line in lines:
            if "tag" in line:
                run.tags[NAME] = line["value"]
            else:
                run.status = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}.get(line["status"], "RUNNING")
                run.ended = line["at"] or None if run.status != "RUNNING" else None
        return {"run_info": run.info()}

    def set_deleted(self, asked, deleted):
        run = self.run(asked)
        if run is self.own:
            raise Wrong(403, "PERMISSION_DENIED", "a script cannot delete the run that it is; `amlrun runs rm` does")
        self.append(self.about(run, [{"property": DELETED, "value": "deleted" if deleted else "active"}]))
        run.deleted = deleted
        return {}

    def runs_get(self, asked):
        return {"run": self.run(asked).shown()}

    def metric(self, item, run):
        name, value, at, step = checked(text(item.get("key"))), told(item.get("value")), whole(item.get("timestamp")), whole(item.get("step"))
        try:
            float(str(value).replace("Infinity", "inf"))
        except ValueError:
            raise invalid("Got invalid value %s for metric '%s' (timestamp=%d). Please specify value as a valid double (64-bit "
                          "floating point)" % (json.dumps(value), name, at))
        line = {"at": at, "metric": name, "value": value, "step": step}
        if item.get("model_id"):
            of = {"key": name, "value": value, "timestamp": at, "step": step, "model_id": text(item["model_id"]), "run_id": run.id}
            of.update({field: text(item[field]) for field in ("dataset_name", "dataset_digest") if item.get(field)})
            line["of_model"] = of
        return line

    def param(self, run, name, value):
        checked(name)
        if len(value) > 6000:
            raise invalid("'%s' exceeds the maximum length of 6000 characters" % name)
        old = run.params.get(name)
        if old is not None and old != value:
            raise invalid("Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run "
                          "ID='%s'. Attempted logging new value '%s'." % (name, old, run.id, value))
        return [] if old == value else [{"param": name, "value": value}]

    def write(self, run, lines):
        self.append(self.about(run, lines))
        for line in lines:
            if "metric" in line:
                point = {"value": line["value"], "timestamp": line["at"], "step": line["step"]}
                run.series.setdefault(line["metric"], []).append(point)
                if "of_model" in line and line["of_model"]["model_id"] in self.models:
                    model = self.models[line["of_model"]["model_id"]]
                    model["data"].setdefault("metrics", []).append(line["of_model"])
            elif "param" in line:
                run.params[line["param"]] = line["value"]
            elif "tag" in line and line["value"] is None:
                run.tags.pop(line["tag"], None)
            elif "tag" in line:
                run.tags[line["tag"]] = line["value"]
            elif "dataset" in line:
                run.inputs.append(line["dataset"])
        return {}

    def log_metric(self, asked):
        run = self.writable(asked)
        return self.write(run, [self.metric(asked, run)])

    def log_parameter(self, asked):
        run = self.writable(asked)
        return self.write(run, self.param(run, text(asked.get("key")), text(asked.get("value"))))

    def set_tag(self, asked):
        return self.write(self.writable(asked), [{"tag": checked(text(asked.get("key"))), "value": text(asked.get("value"))}])

    def delete_tag(self, asked):
        run, name = self.writable(asked), text(asked.get("key"))
        if name not in run.tags:
            raise absent("No tag with name: %s in run with id %s" % (name, run.id))
        return self.write(run, [{"tag": name, "value": None}])

    def log_batch(self, asked):
        run, lines, seen = self.writable(asked), [], {}
        for name, most in BATCH:
            count = len(asked.get(name) or [])
            if count > most:
                raise invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple "
                              "requests and try again." % (most, name, count, name, name))
        for name, value in pairs(asked.get("params") or []):
            if seen.setdefault(name, value) != value:
                raise invalid("Duplicate parameter keys have been submitted with different values: '%s': '%s', '%s'"
                              % (name, seen[name], value))
            lines += self.param(run, name, value)
        lines += [self.metric(item, run) for item in asked.get("metrics") or []]
        lines += [{"tag": checked(name), "value": value} for name, value in pairs(asked.get("tags") or [])]
        return self.write(run, lines)

    def log_inputs(self, asked):
        lines = [{"dataset": {"dataset_input": item}} for item in asked.get("datasets") or []]
        return self.write(self.writable(asked), lines + [{"dataset": {"model_input": item}} for item in asked.get("models") or []])

    def outputs(self, asked):
        return self.write(self.writable(asked), [{"dataset": {"model_output": item}} for item in asked.get("models") or []])

    def log_model(self, asked):
        run, history = self.writable(asked), "mlflow.log-model.history"
        try:
            models = json.loads(run.tags.get(history, "[]")) + [json.loads(asked.get("model_json") or "")]
        except ValueError:
            raise invalid("Malformed model info. \n the model is no JSON")
        return self.write(run, [{"tag": history, "value": json.dumps(models)}])

    def history(self, asked):
        points = self.run(asked).series.get(text(asked.get("metric_key")), [])
        first = whole(asked.get("page_token"))
        page = points[first:][:whole(asked.get("max_results"), len(points)) or len(points)]
        answer = {"metrics": [dict(point, key=text(asked.get("metric_key"))) for point in page]} if page else {}
        if first + len(page) < len(points):
            answer["next_page_token"] = str(first + len(page))
        return answer

    def search(self, asked):
        view = text(asked.get("run_view_type"))
        wanted = lambda run: view in ("ALL", "3") or run.deleted == (view in ("DELETED_ONLY", "2"))
        clauses = [clause(part) for part in split(text(asked.get("filter")))]
        own = [(key, "=", self.own.id) for key in ("tags.mlflow.parentRunId", "attributes.run_id", "run_id")]
        if not any(one in own for one in clauses):
            self.asked_of_others()
        found = [run for run in self.runs.values() if run.experiment in [text(e) for e in asked.get("experiment_ids") or []]]
        found = [run for run in found if wanted(run) and all(fits(run, one) for one in clauses)]
        found.sort(key=lambda run: (-run.started, run.id))
        for item in reversed(asked.get("order_by") or []):
            name, _, direction = item.strip().rpartition(" ")
            if direction.upper() not in ("ASC", "DESC"):
                name, direction = item.strip(), "ASC"
            has = [run for run in found if value_of(run, name) is not None]
            has.sort(key=lambda run: (isinstance(value_of(run, name), str), value_of(run, name)), reverse=direction.upper() == "DESC")
            found = has + [run for run in found if value_of(run, name) is None]
        first, most = whole(asked.get("page_token")), whole(asked.get("max_results"), 1000)
        answer = {"runs": [run.shown() for run in found[first:first + most]]} if found[first:] else {}
        if first + most < len(found):
            answer["next_page_token"] = str(first + most)
        return answer

    # --- Experiments: a name that nobody knows becomes that of the run's own one

    def experiment(self, identity):
        name = self.alias if identity == self.own.experiment and self.alias else self.experiments[identity]
        return {"experiment_id": identity, "name": name, "artifact_location": "mlflow-artifacts:/" + identity,
                "lifecycle_stage": "active", "last_update_time": self.own.started, "creation_time": self.own.started}

    def experiment_get(self, asked):
        identity = text(asked.get("experiment_id"))
        if identity not in self.experiments:
            raise absent("No Experiment with id=%s exists" % identity)
        return {"experiment": self.experiment(identity)}

    def named(self, name):
        if name == self.alias:
            return self.own.experiment
        return next((identity for identity, known in self.experiments.items() if known == name), None)

    def experiment_by_name(self, asked):
        name = text(asked.get("experiment_name"))
        if self.named(name) is None:
            raise absent("Could not find experiment with name '%s'" % name)
        return {"experiment": self.experiment(self.named(name))}

    def experiment_create(self, asked):
        name = text(asked.get("name"))
        if self.named(name) is not None:
            raise Wrong(400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=%s) already exists." % name)
        if self.alias is None:
            self.append([{"experiment": name}])
            self.alias = name
            return {"experiment_id": self.own.experiment}
        identity = str(int(hashlib.sha256(name.encode("utf-8")).hexdigest()[:14], 16) + 10 ** 17)
        self.experiments[identity] = name
        return {"experiment_id": identity}

    def experiment_search(self, asked):
        wanted = re.match(r"\s*name\s*=\s*['\"`](.*)['\"`]\s*$", text(asked.get("filter")))
        if not wanted and text(asked.get("filter")).strip():
            raise invalid("amlrun answers `name = '…'` for experiments only")
        found = [self.experiment(identity) for identity in self.experiments]
        found = [one for one in found if not wanted or one["name"] == wanted.group(1)]
        return {"experiments": found} if found else {}

    # --- Models

    def logged(self, identity):
        if identity not in self.models:
            self.asked_of_others()
            raise absent("Logged model with ID '%s' not found%s" % (identity, ELSEWHERE))
        return self.models[identity]

    def keep(self, model):
        self.append([{"logged_model": model["info"]["model_id"], "value": model}])
        self.models[model["info"]["model_id"]] = model
        return {"model": model}

    def model_create(self, asked):
        identity, experiment, now = "m-" + uuid.uuid4().hex, text(asked.get("experiment_id")), int(time.time() * 1000)
        info = {"model_id": identity, "experiment_id": experiment, "name": text(asked.get("name")) or "model",
                "creation_timestamp_ms": now, "last_updated_timestamp_ms": now, "status": "LOGGED_MODEL_PENDING",
                "artifact_uri": "mlflow-artifacts:/%s/models/%s/artifacts" % (experiment, identity)}
        info.update({field: text(asked[field]) for field in ("model_type", "source_run_id") if asked.get(field)})
        model = {"info": info, "data": {}}
        update(info, "tags", asked.get("tags"))
        update(model["data"], "params", asked.get("params"))
        return self.keep(model)

    def model_finalize(self, identity, asked):
        model, status = self.logged(identity), text(asked.get("status"))
        known = {"2": "LOGGED_MODEL_READY", "3": "LOGGED_MODEL_UPLOAD_FAILED"}
        status = known.get(status, status)
        if status not in known.values():
            raise invalid("Invalid model status: " + status)
        model["info"]["status"] = status
        return self.keep(model)

    def model_set(self, identity, asked, at, name):
        model = self.logged(identity)
        update(model[at], name, asked.get(name))
        return self.keep(model)

    def model_search(self, asked):
        wanted = [clause(part) for part in split(text(asked.get("filter")))]
        info = lambda model, key: text(model["info"].get(key.rpartition(".")[2]))
        found = [m for m in self.models.values() if all(op == "=" and info(m, key) == value for key, op, value in wanted)]
        return {"models": found} if found else {}

    def register(self, asked):
        name = text(asked.get("name"))
        if name in self.registered:
            raise Wrong(400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=%s) already exists." % name)
        self.append([{"property": REGISTERED + name, "value": str(self.own.started)}])
        self.registered[name] = self.own.started
        return {"registered_model": self.registered_model(name)}

    def registered_model(self, name):
        if name not in self.registered:
            self.asked_of_others()
            raise absent("Registered Model with name=%s not found%s" % (name, ELSEWHERE))
        model = {"name": name, "creation_timestamp": self.own.started, "last_updated_timestamp": self.own.started}
        versions = self.newest(name)
        if versions:
            model["latest_versions"] = versions
        aliases = [{"alias": alias, "version": self.aliases[of, alias]} for of, alias in sorted(self.aliases) if of == name]
        return dict(model, aliases=aliases) if aliases else model

    def newest(self, name):
        """The newest version of each stage, in the order in which the stages come up."""
        newest = {}
        for version in self.versions:
            if version["name"] == name:
                newest[version["current_stage"]] = version
        return [self.with_aliases(version) for version in newest.values()]

    def latest(self, asked):
        name, wanted = text(asked.get("name")), asked.get("stages") or []
        wanted = [stage(text(one)) for one in (wanted if isinstance(wanted, list) else [wanted])]
        self.registered_model(name)
        found = [version for version in self.newest(name) if not wanted or version["current_stage"] in wanted]
        return {"model_versions": found} if found else {}

    def change(self, version, tag, value):
        """Gives a version a tag, or takes it away (None); a stage and a description are tags of the register."""
        self.append([{"model": version["name"], "version": int(version["version"]), "model_tag": tag, "value": value}])
        if tag in (STAGE, DESCRIPTION):
            key, none = ("current_stage", "None") if tag == STAGE else ("description", "")
            version[key] = none if value is None else value
            return
        tags = [item for item in version.get("tags", []) if item["key"] != tag]
        version["tags"] = sorted(tags + ([] if value is None else [{"key": tag, "value": value}]), key=lambda item: item["key"])
        if not version["tags"]:
            del version["tags"]

    def version_of(self, asked):
        self.version_get(asked)
        name, number = text(asked.get("name")), text(asked.get("version"))
        return next(version for version in self.versions if (version["name"], version["version"]) == (name, number))

    def transition(self, asked):
        to, version = stage(needed(asked, "stage")), self.version_of(asked)
        others = []
        if text(asked.get("archive_existing_versions")) == "true":
            if to not in ("Staging", "Production"):
                raise invalid("Model version transition cannot archive existing model versions because '%s' is not an Active stage. "
                              "Valid stages are ['Staging', 'Production']" % to)
            others = [other for other in self.versions if other["name"] == version["name"] and other is not version]
        self.change(version, STAGE, to)
        for other in others:
            if other["current_stage"] == to:
                self.change(other, STAGE, "Archived")
        return self.version_get(asked)

    def version_update(self, asked):
        value = asked.get("description")
        self.change(self.version_of(asked), DESCRIPTION, None if value is None else text(value))
        return self.version_get(asked)

    def version_tag(self, asked):
        self.change(self.version_of(asked), needed(asked, "key"), text(asked.get("value")))
        return {}

    def version_delete_tag(self, asked):
        self.change(self.version_of(asked), needed(asked, "key"), None)
        return {}

    def with_aliases(self, version):
        own = sorted(alias for (name, alias), number in self.aliases.items() if (name, number) == (version["name"], version["version"]))
        return dict(version, aliases=own) if own else version

    def set_alias(self, asked):
        name, alias, version = text(asked.get("name")), text(asked.get("alias")), self.version_get(asked)["model_version"]
        self.append([{"alias": alias, "model": name, "version": int(version["version"])}])
        self.aliases[name, alias] = version["version"]
        return {}

    def delete_alias(self, asked):
        name, alias = text(asked.get("name")), text(asked.get("alias"))
        self.append([{"alias": alias, "model": name, "version": None}])
        self.aliases.pop((name, alias), None)
        return {}

    def of_alias(self, asked):
        name, alias = text(asked.get("name")), text(asked.get("alias"))
        if (name, alias) not in self.aliases:
            self.asked_of_others()
            raise invalid("Registered model alias %s not found." % alias)
        return self.version_get({"name": name, "version": self.aliases[name, alias]})

    def register_search(self, asked):
        self.asked_of_others()
        wanted = [clause(part) for part in split(text(asked.get("filter")))]
        found = [name for name in sorted(self.registered) if all((name == value) == (op == "=") for _, op, value in wanted)]
        return {"registered_models": [self.registered_model(name) for name in found]} if found else {}

    def version_create(self, asked):
        name, source = text(asked.get("name")), text(asked.get("source"))
        if name not in self.registered:
            raise absent("Registered Model with name=%s not found" % name)
        number = str(1 + sum(version["name"] == name for version in self.versions))
        tags, parts = pairs(asked.get("tags") or []), source.rstrip("/").split("/")
        path = source
        if parts[0] == "mlflow-artifacts:" and len(parts) > 3 and parts[2] == "models":
            path = "/".join(["logged_models", parts[3]] + parts[5:])
        elif parts[0] == "mlflow-artifacts:" and len(parts) > 3:
            path = "/".join((["artifacts"] if parts[2] == self.own.id else ["children", parts[2]]) + parts[4:])
        elif parts[0] == "models:":
            path = "/".join(["logged_models"] + parts[1:])
        # What other runs registered is not known here: where the number is taken when this goes on record, it gets the next one.
        line = {"at": self.own.started, "model": name, "path": path, "tags": dict(tags), "version": int(number)}
        self.append([line])
        version = {"name": name, "version": number, "creation_timestamp": self.own.started, "description": "", "source": source,
                   "last_updated_timestamp": self.own.started, "current_stage": "None", "status": "READY"}
        version.update({"run_id": text(asked["run_id"])} if asked.get("run_id") else {})
        version.update({"tags": [{"key": key, "value": value} for key, value in tags]} if tags else {})
        self.versions.append(version)
        return {"model_version": version}

    def version_get(self, asked):
        name, number = text(asked.get("name")), text(asked.get("version"))
        for version in self.versions:
            if (version["name"], version["version"]) == (name, number):
                return {"model_version": self.with_aliases(version)}
        self.asked_of_others()
        raise absent("Model Version (name=%s, version=%s) not found%s" % (name, number, ELSEWHERE))

    def version_search(self, asked):
        wanted = [clause(part) for part in split(text(asked.get("filter")))]
        if ("run_id", "=", self.own.id) not in wanted:
            self.asked_of_others()
        def told_of(version, key):
            if key.partition(".")[0] not in ("tag", "tags"):
                return text(version.get(key))
            return dict(pairs(version.get("tags", []))).get(key.partition(".")[2], "")

        found = [v for v in self.versions if all((told_of(v, key) == value) == (op == "=") for key, op, value in wanted)]
        return {"model_versions": [self.with_aliases(version) for version in found[::-1]]} if found else {}

    def download_uri(self, asked):
        version = self.version_get(asked)["model_version"]
        identity = version["source"].partition("models:/")[2]
        if identity in self.models:
            return {"artifact_uri": self.models[identity]["info"]["artifact_uri"]}
        return {"artifact_uri": version["source"]}

    # --- Traces (MLflow 3), which are artifacts of the run

    def trace_folder(self, identity):
        if not re.match(r"[A-Za-z0-9_-]{1,100}\Z", identity):
            raise invalid("Invalid trace ID")
        return os.path.join(self.folder, "artifacts", "traces", identity)

    def trace_start(self, asked):
        if "trace" not in asked:  # as a client of MLflow 2 begins one
            raise Wrong(404, "ENDPOINT_NOT_FOUND", "Endpoint not found for POST traces" + ELSEWHERE)
        info = asked["trace"].get("trace_info") if isinstance(asked["trace"], dict) else None
        if not isinstance(info, dict):
            raise invalid("Missing value for required parameter 'trace'.")
        identity = text(info.get("trace_id"))
        folder = self.trace_folder(identity)
        tags = dict(info.get("tags") or {})
        tags["mlflow.artifactLocation"] = "mlflow-artifacts:/%s/%s/artifacts/traces/%s" % (self.own.experiment, self.own.id, identity)
        info = dict(info, tags=tags)
        if self.over.is_set():
            raise Wrong(500, "INTERNAL_ERROR", "the run is over")
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=UPLOAD, dir=folder)
        with os.fdopen(handle, "w") as file:
            json.dump(info, file)
        os.rename(temporary, os.path.join(folder, "trace_info.json"))
        return {"trace": {"trace_info": info}}

    def trace_get(self, identity):
        try:
            with open(os.path.join(self.trace_folder(identity), "trace_info.json")) as file:
                return {"trace": {"trace_info": json.load(file)}}
        except (OSError, ValueError):
            self.asked_of_others()
            raise absent("Trace with ID '%s' not found.%s" % (identity, ELSEWHERE))

    # --- Artifacts

    def place(self, path):
        parts = safe(path)
        if len(parts) < 3 or parts[2 + (parts[1] == "models")] != "artifacts":
            raise absent("No such artifact")
        if parts[1] == "models":
            self.logged(parts[2])
            return os.path.join(self.folder, "logged_models", parts[2], *parts[4:])
        run = self.run({"run_id": parts[1]})
        base = ["artifacts"] if run is self.own else ["children", run.id]
        return os.path.join(self.folder, *(base + parts[3:]))

    def listed(self, folder, prefix):
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        files = []
        for name in names:
            at = os.path.join(folder, name)
            if not name.startswith(UPLOAD):
                file = {"path": prefix + "/" + name if prefix else name, "is_dir": os.path.isdir(at)}
                files.append(file if file["is_dir"] else dict(file, file_size=os.path.getsize(at)))
        return files

    def artifacts_list(self, asked):
        run, path = self.run(asked), text(asked.get("path"))
        at = "%s/%s/artifacts" % (run.experiment, run.id) + ("/" + path if path else "")
        files = self.listed(self.place(at), path)
        return dict({"files": files} if files else {}, root_uri=run.info()["artifact_uri"])


def update(at, name, new):
    if new:
        kept = dict([(item["key"], item["value"]) for item in at.get(name, [])], **dict(pairs(new)))
        at[name] = [{"key": key, "value": value} for key, value in kept.items()]


def split(filter):
    return [part for part in re.split(r"\s+and\s+", filter.strip(), flags=re.I) if part]


def clause(part):
    found = re.match(r"""([\w.]+(?:[`"][^`"]+[`"])?|[\w.\-/ ]+?)\s*(=|!=|<=|>=|<|>|I?LIKE)\s*(.+)$""", part.strip(), re.I)
    if not found:
        raise invalid("Invalid clause `%s`%s" % (part, ELSEWHERE))
    key, op, value = found.group(1), found.group(2).upper(), found.group(3).strip()
    if value[:1] in "'\"" and value[-1:] == value[:1] and len(value) > 1:
        return key.replace("`", "").replace('"', ""), op, value[1:-1]
    try:
        return key.replace("`", "").replace('"', ""), op, float(value)
    except ValueError:
        raise invalid("Invalid value `%s` in a filter: a text stands in quotes" % value)


def value_of(run, key):
    key = key.replace("`", "").replace('"', "")
    space, _, name = key.partition(".")
    if space in ("metrics", "metric"):
        return float(str(run.last(name)["value"]).replace("Infinity", "inf")) if name in run.series else None
    if space in ("params", "param", "parameters"):
        return run.params.get(name)
    if space in ("tags", "tag"):
        return run.tags.get(name)
    info = run.info()
    return info.get({"created": "start_time", "Created": "start_time"}.get(name or space, name or space))


def fits(run, one):
    key, op, wanted = one
    found = value_of(run, key)
    if found is None:
        return False
    if op in ("LIKE", "ILIKE"):
        pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in str(wanted))
        return re.match(pattern + r"\Z", str(found), re.S | (re.I if op == "ILIKE" else 0)) is not None
    if isinstance(wanted, float):
        try:
            found = float(found)
        except ValueError:
            return False
    else:
        found = str(found)
    return {"=": found == wanted, "!=": found != wanted, "<": found < wanted, "<=": found <= wanted, ">": found > wanted,
            ">=": found >= wanted}[op]


ROUTES = {
    ("POST", "runs/create"): Tracking.runs_create, ("POST", "runs/update"): Tracking.runs_update,
    ("POST", "runs/delete"): lambda self, asked: self.set_deleted(asked, True),
    ("POST", "runs/restore"): lambda self, asked: self.set_deleted(asked, False),
    ("POST", "runs/log-metric"): Tracking.log_metric, ("POST", "runs/log-parameter"): Tracking.log_parameter,
    ("POST", "runs/set-tag"): Tracking.set_tag, ("POST", "runs/delete-tag"): Tracking.delete_tag,
    ("POST", "runs/log-batch"): Tracking.log_batch, ("POST", "runs/log-inputs"): Tracking.log_inputs,
    ("POST", "runs/log-model"): Tracking.log_model, ("POST", "runs/outputs"): Tracking.outputs,
    ("GET", "runs/get"): Tracking.runs_get, ("POST", "runs/search"): Tracking.search,
    ("GET", "metrics/get-history"): Tracking.history, ("GET", "artifacts/list"): Tracking.artifacts_list,
    ("GET", "experiments/get"): Tracking.experiment_get, ("GET", "experiments/get-by-name"): Tracking.experiment_by_name,
    ("POST", "experiments/create"): Tracking.experiment_create, ("POST", "experiments/search"): Tracking.experiment_search,
    ("GET", "experiments/search"): Tracking.experiment_search,
    ("POST", "experiments/set-experiment-tag"): lambda self, asked: {},
    ("POST", "traces"): Tracking.trace_start,
    ("POST", "logged-models"): Tracking.model_create, ("POST", "logged-models/search"): Tracking.model_search,
    ("POST", "registered-models/create"): Tracking.register,
    ("GET", "registered-models/get"): lambda self, asked: {"registered_model": self.registered_model(text(asked.get("name")))},
    ("GET", "registered-models/search"): Tracking.register_search,
    ("POST", "registered-models/alias"): Tracking.set_alias, ("DELETE", "registered-models/alias"): Tracking.delete_alias,
    ("GET", "registered-models/alias"): Tracking.of_alias,
    ("GET", "registered-models/get-latest-versions"): Tracking.latest, ("POST", "registered-models/get-latest-versions"): Tracking.latest,
    ("PATCH", "model-versions/update"): Tracking.version_update, ("POST", "model-versions/transition-stage"): Tracking.transition,
    ("POST", "model-versions/set-tag"): Tracking.version_tag, ("DELETE", "model-versions/delete-tag"): Tracking.version_delete_tag,
    ("POST", "model-versions/create"): Tracking.version_create, ("GET", "model-versions/get"): Tracking.version_get,
    ("GET", "model-versions/search"): Tracking.version_search,
    ("GET", "model-versions/get-download-uri"): Tracking.download_uri,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout, disable_nagle_algorithm, wbufsize = "HTTP/1.1", 600, True, 1 << 16

    def log_message(self, *_):
        pass

    def pieces(self):
        """The body, which is read to its end whatever is made of it: the connection goes on."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                left = int(self.rfile.readline(64).split(b";")[0], 16)
                yield from self.some(left)
                self.rfile.readline(64)
                if not left:
                    return
        yield from self.some(whole(self.headers.get("Content-Length")))

    def some(self, left):
        while left > 0:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                raise ConnectionError("the connection was cut off")
            left -= len(data)
            yield data

    def send(self, status, value):
        data = json.dumps(value).encode("utf-8")
        self.begin(status, "application/json", len(data))
        self.wfile.write(data)

    def begin(self, status, kind, length):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self):
        self.unread = False
        tracking, given = self.server.tracking, self.headers.get("Authorization", "").partition(" ")[2]
        if not hmac.compare_digest(given.encode("utf-8"), self.server.token.encode("utf-8")):
            self.close_connection = True  # its body is not read
            return self.send(401, {"error_code": "UNAUTHENTICATED", "message": "a run's own token is needed: MLFLOW_TRACKING_TOKEN"})
        at = urllib.parse.urlsplit(self.path)
        rest = next((at.path[len(place):] for place in PLACES if at.path.startswith(place)), "")
        try:
            if rest.startswith("mlflow-artifacts/artifacts"):
                return self.artifact(tracking, urllib.parse.unquote(rest[len("mlflow-artifacts/artifacts"):].lstrip("/")), at.query)
            data = b""
            for piece in self.pieces():
                data += piece if len(data) <= MOST else b""
            if at.path == "/health":
                return self.send(200, "OK")
            if at.path == "/version":
                self.begin(200, "text/plain", 6)
                return self.wfile.write(b"3.17.2")
            if len(data) > MOST:
                raise Wrong(413, "BAD_REQUEST", "a request of more than 64 MiB")
            self.send(200, self.api(tracking, rest, at.query, data))
        except Wrong as wrong:
            for _ in self.pieces() if self.unread else []:
                pass
            self.send(wrong.status, {"error_code": wrong.code, "message": wrong.message})
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            self.close_connection = True
            self.send(500, {"error_code": "INTERNAL_ERROR", "message": str(error)})

    def api(self, tracking, rest, query, data):
        asked = {}
        for name, values in urllib.parse.parse_qs(query, keep_blank_values=True).items():
            asked[name] = values if len(values) > 1 else values[0]
        if data.strip():
            try:
                body = json.loads(data.decode("utf-8"))
            except ValueError:
                body = ()
            if not isinstance(body, dict) and body is not None:
                raise Wrong(400, "BAD_REQUEST", "the body is no JSON object")
            asked.update(body or {})
        endpoint = rest[len("mlflow/"):] if rest.startswith("mlflow/") else ""
        with tracking.held:
            if (self.command, endpoint) in ROUTES:
                return ROUTES[self.command, endpoint](tracking, asked)
            kind, _, identity = endpoint.partition("/")
            identity, _, part = urllib.parse.unquote(identity).partition("/")
            if (self.command, kind, part) == ("GET", "traces", "") and identity not in ("", "get", "batchGet"):
                return tracking.trace_get(identity)
            if kind == "logged-models" and identity:
                if (self.command, part) == ("GET", ""):
                    return {"model": tracking.logged(identity)}
                if (self.command, part) == ("PATCH", ""):
                    return tracking.model_finalize(identity, asked)
                if (self.command, part) == ("PATCH", "tags"):
                    return tracking.model_set(identity, asked, "info", "tags")
                if (self.command, part) == ("POST", "params"):
                    tracking.model_set(identity, asked, "data", "params")
                    return {}
        raise Wrong(404, "ENDPOINT_NOT_FOUND", "Endpoint not found for %s %s%s" % (self.command, self.path, ELSEWHERE))

    def artifact(self, tracking, path, query):
        self.unread = True
        if self.command == "GET" and not path:
            path = dict(urllib.parse.parse_qsl(query)).get("path", "").rstrip("/")
            with tracking.held:
                files = tracking.listed(tracking.place(path), "")
            return self.finish_with(200, {"files": files} if files else {})
        with tracking.held:
            at = tracking.place(path)
        if self.command == "PUT":
            os.makedirs(os.path.dirname(at), exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=UPLOAD, dir=os.path.dirname(at))
            try:
                with os.fdopen(handle, "wb") as file:
                    self.unread = False
                    for piece in self.pieces():
                        file.write(piece)
                os.chmod(temporary, 0o644)
                with tracking.held:
                    if tracking.over.is_set():
                        raise Wrong(500, "INTERNAL_ERROR", "the run is over")
                    os.rename(temporary, at)
            except BaseException:
                os.unlink(temporary)
                raise
            return self.send(200, {})
        if self.command == "DELETE":
            if os.path.isdir(at):
                shutil.rmtree(at)
            elif os.path.exists(at):
                os.unlink(at)
            return self.finish_with(200, {})
        if self.command == "GET" and os.path.isfile(at):
            with open(at, "rb") as file:
                self.begin(200, "application/octet-stream", os.path.getsize(at))
                shutil.copyfileobj(file, self.wfile)
            return None
        raise absent("No such artifact")

    def finish_with(self, status, value):
        for _ in self.pieces():
            pass
        self.unread = False
        self.send(status, value)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that hung up


def tracking_server(listening, folder, about, token, held, over):
    """A server on a socket that listens already. What writes holds `held`, and writes nothing once `over` is set."""
    server = Listener(listening.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket, server.token, server.tracking = listening, token, Tracking(folder, about, held, over)
    return server
