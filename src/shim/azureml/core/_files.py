"""The part of `Run` that keeps files and gives them back: uploads below `artifacts/` (those of a child below
`children/ID/`), and what the job leaves in `outputs/` and `logs/`."""
import os

from azureml.core import _journal


class Files(object):
    def _place(self, name):
        """The name of a file of the run, made plain."""
        clean = name.replace("\\", "/").strip("/")
        parts = clean.split("/")
        if not clean or any(part in ("", ".", "..") for part in parts) or "\0" in clean:
            from azureml.exceptions import UserErrorException

            raise UserErrorException("{!r} is no name for a file of a run: a relative path without `..`".format(name))
        return "/".join(parts)

    def _take(self, name, fill, overwrite=False):
        """Makes an artifact whole or not at all: `fill` writes it at a path."""
        clean = self._place(name)
        to = _journal.artifact(self._child, clean)
        if os.path.exists(to) and not overwrite:
            from azureml.exceptions import AzureMLException

            raise AzureMLException("Resource Conflict: the run {} has a file {!r} already".format(self.id, clean))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        half = "{}.{}.part".format(to, os.getpid())
        try:
            fill(half)
            os.replace(half, to)
        finally:
            if os.path.exists(half):
                os.remove(half)
        self._write(artifact=clean)
        return clean

    def upload_file(self, name, path_or_stream, datastore_name=None):
        return self._take(name, _copier(path_or_stream))

    def upload_files(self, names, paths, return_artifacts=False, timeout_seconds=None, datastore_name=None):
        from azureml.exceptions import UserErrorException

        names, paths = list(names), list(paths)
        if len(names) != len(paths):
            raise UserErrorException("{} names for {} paths".format(len(names), len(paths)))
        taken = [self.upload_file(name, path) for name, path in zip(names, paths)]
        return taken if return_artifacts else None

    def upload_folder(self, name, path, datastore_name=None):
        from azureml.exceptions import UserErrorException

        if not os.path.isdir(path):
            raise UserErrorException("{!r} is no folder".format(path))
        names, paths = [], []
        for folder, folders, files in os.walk(path):
            folders.sort()
            for file in sorted(files):
                full = os.path.join(folder, file)
                inside = os.path.relpath(full, path).replace(os.sep, "/")
                names.append("{}/{}".format(name, inside) if name else inside)
                paths.append(full)
        return self.upload_files(names, paths)

    def _take_image(self, name, path, plot):
        end = ".png"
        if path is not None and not hasattr(path, "read"):
            end = os.path.splitext(os.fspath(path))[1] or end
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "image"
        candidate, count = stem + end, 1
        taken = set(self._artifact_names())
        while candidate in taken:
            count += 1
            candidate = "{}_{}{}".format(stem, count, end)
        if path is not None:
            return self._take(candidate, _copier(path))
        figure = plot.gcf() if hasattr(plot, "gcf") else getattr(plot, "figure", plot)
        if not hasattr(figure, "savefig"):
            from azureml.exceptions import UserErrorException

            raise UserErrorException("log_image of {!r}: the plot is no figure of matplotlib".format(name))
        return self._take(candidate, lambda half: figure.savefig(half, format="png"))

    def _artifact_names(self):
        return list(dict.fromkeys(entry["artifact"] for entry in _journal.of(self._child) if "artifact" in entry))

    def _where(self, name):
        """The bytes of a file of the run: an upload, or what the job has left so far."""
        clean = self._place(name)
        places = [_journal.artifact(self._child, clean)]
        if self._child is None:
            places.append(os.path.join(_journal.START, clean))
        return next((place for place in places if os.path.exists(place)), None)

    def get_file_names(self):
        names = self._artifact_names()
        if self._child is None:
            for top in ("outputs", "logs"):
                for folder, _, files in os.walk(os.path.join(_journal.START, top)):
                    names += [os.path.relpath(os.path.join(folder, file), _journal.START).replace(os.sep, "/") for file in files]
        return sorted(set(names))

    def download_file(self, name, output_file_path=None, _validate_checksum=False):
        import shutil

        found = self._where(name)
        if found is None or os.path.isdir(found):
            from azureml.exceptions import UserErrorException

            raise UserErrorException("the run {} has no file {!r}; it has: {}".format(self.id, name, ", ".join(self.get_file_names())))
        to = output_file_path or os.path.basename(name)
        if os.path.isdir(to):
            to = os.path.join(to, os.path.basename(name))
        if os.path.exists(to) and os.path.samefile(found, to):
            return
        os.makedirs(os.path.dirname(os.path.abspath(to)), exist_ok=True)
        shutil.copyfile(found, to)

    def download_files(self, prefix=None, output_directory=None, output_paths=None, batch_size=100, append_prefix=True,
                       timeout_seconds=None):
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            from azureml.exceptions import UserErrorException

            raise UserErrorException("{} paths for {} files".format(len(output_paths), len(names)))
        for at, name in enumerate(names):
            shown = name if append_prefix or not prefix else name[len(prefix):].lstrip("/")
            to = output_paths[at] if output_paths is not None else os.path.join(output_directory or ".", shown)
            self.download_file(name, to)

    # Models.

    def register_model(self, model_name, model_path=None, tags=None, properties=None, model_framework=None,
                       model_framework_version=None, description=None, datasets=None, sample_input_dataset=None,
                       sample_output_dataset=None, resource_configuration=None, **_options):
        """A file or folder of the run, as in `outputs/model.pkl`; the name itself where no path is given."""
        path = self._place(model_path or model_name)
        if self._where(path) is None:
            from azureml.exceptions import ModelPathNotFoundException

            raise ModelPathNotFoundException(
                "Could not locate the provided model_path {} in the set of files uploaded to the run: {}".format(path, self.get_file_names())
            )
        return self._register(model_name, path, tags, properties, description, model_framework, model_framework_version, None)

    def _register(self, name, path, tags, properties, description, framework, framework_version, workspace):
        from azureml.core.model import Model

        # Of the framework, the properties and the description, what is there is kept as tags: the record has no other place.
        extra = {"model_framework": framework, "model_framework_version": framework_version, "description": description}
        kept = {key: str(value) for key, value in extra.items() if value is not None}
        for given in (properties, tags):
            kept.update({str(key): "" if value is None else str(value) for key, value in (given or {}).items()})
        before = sum(entry.get("model") == name for entry in _journal.entries())
        self._write(model=str(name), path=path, tags=kept)
        return Model(workspace, name, tags=tags, properties=properties, version=before + 1, run_id=self.id,
                     model_framework=framework, description=description, _path=path)

    def _take_model(self, name, path):
        """Keeps a file or folder of this machine as the artifact that a model is; what the job leaves anyway stays there."""
        from azureml.exceptions import ModelPathNotFoundException

        if not os.path.exists(path):
            raise ModelPathNotFoundException("the model {!r} is to be read at {!r}: there is nothing".format(name, path))
        inside = os.path.relpath(os.path.abspath(path), _journal.START).replace(os.sep, "/")
        if inside.split("/")[0] == "outputs":
            return inside
        to = "models/{}/{}".format(self._place(name), os.path.basename(os.path.abspath(path)))
        if os.path.isdir(path):
            self.upload_folder(to, path)
        else:
            self.upload_file(to, path)
        return to


def _copier(source):
    """Writes what a path or a stream holds."""
    import shutil

    if hasattr(source, "read"):
        def fill(half):
            with open(half, "wb") as file:
                data = source.read()
                file.write(data.encode("utf-8") if isinstance(data, str) else data)

        return fill
    if not os.path.isfile(source):
        from azureml.exceptions import UserErrorException

        raise UserErrorException("there is no file {!r} to upload".format(source))
    return lambda half: shutil.copyfile(source, half)
