"""What `Run.get_context()` gives where no amlrun is: it says on stdout what it would have logged."""


class _OfflineRun(object):
    """A run that nobody records."""

    def __init__(self, parent_logger=None, run_id=None, **_options):
        if run_id is None:
            import uuid

            run_id = "OfflineRun_{}".format(uuid.uuid4())
        self._id = run_id

    @property
    def id(self):
        return self._id

    @property
    def identity(self):
        return self._id

    def log(self, name, value, description="", step=None):
        self._tell("scalar", name, value)

    def log_list(self, name, value, description=""):
        self._tell("list", name, value)

    def log_row(self, name, description=None, **kwargs):
        self._tell("row", name, kwargs)

    def log_table(self, name, value, description=""):
        self._tell("table", name, value)

    def log_image(self, name, path=None, plot=None, description=""):
        self._tell("image", name, path if path is not None else plot)

    def log_residuals(self, name, value, description=None):
        self._tell("residual", name, value)

    def log_predictions(self, name, value, description=None):
        self._tell("predictions", name, value)

    def log_accuracy_table(self, name, value, description=None):
        self._tell("accuracy_table", name, value)

    def log_confusion_matrix(self, name, value, description=None):
        self._tell("confusion_matrix", name, value)

    def _tell(self, kind, name, value):
        print("Attempted to log {} metric {}:\n{}".format(kind, name, value))

    def tag(self, name, value=None):
        print("Attempted to add tag {} with value {}".format(name, value))

    def set_tags(self, tags):
        print("Attempted to set tags {}".format(tags))

    def add_properties(self, properties):
        print("Attempted to add properties {}".format(properties))

    def upload_file(self, name, path_or_stream, datastore_name=None):
        print("Attempted to track file {} at {}".format(name, path_or_stream))

    def upload_files(self, names, paths, return_artifacts=False, timeout_seconds=None, datastore_name=None):
        print("Attempted to track files {} at {} with timeout {}s".format(names, paths, timeout_seconds))

    def upload_folder(self, name, path, datastore_name=None):
        print("Attempted to track folder {} at {}".format(name, path))

    def flush(self, timeout_seconds=300):
        print("Attempted to flush run with id {}".format(self._id))

    def complete(self):
        pass

    def cancel(self):
        pass

    def fail(self, error_details=None, error_code=None):
        print("Run failed with error code {}:\n{}".format(error_code, error_details))

    def child_run(self, name=None, run_id=None, outputs=None):
        if run_id is None and name is None:
            import uuid

            name = str(uuid.uuid4())
        return _OfflineRun(run_id=run_id or "{}.{}".format(self._id, name))

    def __enter__(self):
        print("[START] Run {} context".format(self._id))
        return self

    def __exit__(self, kind, value, traceback):
        print("[STOP] Run {} context".format(self._id))
        return False

    def __getattr__(self, name):
        raise AttributeError(
            "an offline run has no {!r}: this script was not started by amlrun (with it, the whole of Run is there)".format(name)
        )
