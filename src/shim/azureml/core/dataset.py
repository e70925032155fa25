"""Data: the inputs that the Amlfile declares, and files on this machine."""
import os
from collections import OrderedDict


def declared():
    """The experiment's inputs by name, as paths."""
    found = OrderedDict()
    for prefix in ("AZURE_ML_INPUT_", "AZUREML_DATAREFERENCE_"):
        for name in sorted(os.environ):
            if name.startswith(prefix):
                found.setdefault(name[len(prefix):], os.path.abspath(os.path.join(_start(), os.environ[name])))
    return found


def _start():
    from azureml.core import _journal

    return _journal.START


def input_path(name):
    """The path of the input of that name; dashes and blanks of a registered name are underscores there."""
    inputs = declared()
    for candidate in (name, "".join(c if c.isalnum() else "_" for c in name)):
        if candidate in inputs:
            return inputs[candidate]
    return None


class _Data(str):
    """A path with the methods of a dataset: scripts use what they are handed as either."""

    def __new__(cls, path, name=None, paths=None):
        self = super(_Data, cls).__new__(cls, path)
        self.name = name
        self.paths = paths or [str(path)]
        self.id = name or str(path)
        self.version = 1
        self.tags = {}
        self.description = None
        return self

    def as_named_input(self, name):
        return self

    def as_mount(self, path_on_compute=None):
        return self

    as_download = as_hdfs = as_mount

    def register(self, workspace, name, description=None, tags=None, create_new_version=False):
        """Nothing is registered: the data is where it was."""
        return self

    def to_path(self):
        """The files below it, from there, each with a slash before."""
        return ["/" + os.path.relpath(path, base) for base, path in self._files()]

    def _files(self):
        for base in self.paths:
            if os.path.isdir(base):
                for folder, folders, names in os.walk(base):
                    folders.sort()
                    for name in sorted(names):
                        yield base, os.path.join(folder, name)
            else:
                yield os.path.dirname(base) or ".", base


class FileDataset(_Data):
    """Files and folders."""

    def download(self, target_path=None, overwrite=False, ignore_not_found=False):
        """Copies the files, and says where they are then."""
        import shutil
        import tempfile

        target_path = target_path or tempfile.mkdtemp()
        made = []
        for base, path in self._files():
            to = os.path.join(target_path, os.path.relpath(path, base))
            if os.path.exists(to) and not overwrite:
                from azureml.exceptions import UserErrorException

                raise UserErrorException("{} is there already; say overwrite=True".format(to))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copyfile(path, to)
            made.append(os.path.abspath(to))
        return made

    def mount(self, mount_point=None, **_options):
        return _Mount(self)

    def as_tabular(self):
        return TabularDataset(str(self), self.name, self.paths)


class _Mount(object):
    """The folder itself, as a mount of it."""

    def __init__(self, data):
        self.mount_point = str(data)

    def start(self):
        pass

    def stop(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_what):
        return False


class TabularDataset(_Data):
    """A table in files: delimited text, JSON lines or Parquet, by their names."""

    def __new__(cls, path, name=None, paths=None, read=None):
        self = super(TabularDataset, cls).__new__(cls, path, name, paths)
        self._read = read
        return self

    def to_pandas_dataframe(self, **_options):
        import pandas

        frames = [(self._read or _reader(path))(path) for _, path in self._files()]
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=True)

    def take(self, count):
        return _Frame(self.to_pandas_dataframe().head(count))

    def to_spark_dataframe(self):
        from azureml.exceptions import NotHere

        raise NotHere("to_spark_dataframe: read {!r} with the Spark session of the script".format(str(self)))


class _Frame(object):
    def __init__(self, frame):
        self._frame = frame

    def to_pandas_dataframe(self, **_options):
        return self._frame


def _reader(path):
    import pandas

    end = os.path.splitext(path)[1].lower()
    if end in (".parquet", ".pq"):
        return pandas.read_parquet
    if end in (".jsonl", ".json"):
        return lambda path: pandas.read_json(path, lines=end == ".jsonl")
    return lambda path: pandas.read_csv(path, sep="\t" if end == ".tsv" else ",")


def _local(path):
    """Paths on this machine; what lies elsewhere has to be an input."""
    paths = list(path) if isinstance(path, (list, tuple)) and not _is_in_datastore(path) else [path]
    found = []
    for item in paths:
        if _is_in_datastore(item):
            item = item[1]
            inside = input_path(os.path.splitext(os.path.basename(str(item)))[0])
            if inside is None:
                _elsewhere("{!r} in a datastore".format(item))
            found.append(inside)
        elif "://" in str(item) and not str(item).startswith("file://"):
            _elsewhere(str(item))
        else:
            found.append(str(item)[7:] if str(item).startswith("file://") else os.fspath(item))
    if not found:
        raise ValueError("no path is given")
    return found


def _is_in_datastore(path):
    return isinstance(path, tuple) and len(path) == 2 and not isinstance(path[0], str)


def _elsewhere(what):
    from azureml.exceptions import NotHere

    raise NotHere("{} is on no disk of this job: declare it under `inputs` of the experiment, so that a change of it is seen".format(what))


class _File(object):
    @staticmethod
    def from_files(path, validate=True, partition_format=None, is_file=False):
        paths = _local(path)
        return FileDataset(paths[0], None, paths)


class _Tabular(object):
    @staticmethod
    def from_delimited_files(path, validate=True, include_path=False, infer_column_types=True, set_column_types=None,
                             separator=",", header=True, partition_format=None, support_multi_line=False,
                             empty_as_string=False, encoding="utf8"):
        paths = _local(path)

        def read(path):
            import pandas

            return pandas.read_csv(path, sep=separator, header=0 if header else None, encoding=encoding)

        return TabularDataset(paths[0], None, paths, read)

    @staticmethod
    def from_parquet_files(path, **_options):
        paths = _local(path)
        return TabularDataset(paths[0], None, paths)

    @staticmethod
    def from_json_lines_files(path, **_options):
        paths = _local(path)

        def read(path):
            import pandas

            return pandas.read_json(path, lines=True)

        return TabularDataset(paths[0], None, paths, read)


class Dataset(object):
    """Datasets by name are the inputs of the experiment."""

    File = _File
    Tabular = _Tabular

    @staticmethod
    def get_by_name(workspace, name, version="latest"):
        path = input_path(name)
        if path is None:
            from azureml.exceptions import UserErrorException

            known = ", ".join(declared()) or "none"
            raise UserErrorException(
                'the experiment has no input named "{}" (it has: {}); declare inputs = {{ {} = "PATH" }} in the Amlfile'.format(
                    name, known, "".join(c if c.isalnum() else "_" for c in name)
                )
            )
        return _of_path(path, name)

    @staticmethod
    def get_by_id(workspace, id, **_options):
        return Dataset.get_by_name(workspace, id)

    @staticmethod
    def get_all(workspace):
        return {name: _of_path(path, name) for name, path in declared().items()}

    @staticmethod
    def get(workspace, name=None, id=None):
        return Dataset.get_by_name(workspace, name or id)

    list = get_all


def _of_path(path, name):
    """A file of a table's kind is a table, too: it has the methods of both."""
    end = os.path.splitext(path)[1].lower()
    kind = _Both if end in (".csv", ".tsv", ".parquet", ".pq", ".jsonl") else FileDataset
    return kind(path, name)


class _Both(TabularDataset, FileDataset):
    pass
