"""The content hashes of code, as the package computes them, with the names of the files."""
import json
import sys

from azure.ai.ml._utils import _asset_utils as assets

found = []
for path in sys.argv[1:]:
    ignore = assets.get_ignore_file(path)
    files = assets.get_upload_files_from_folder(path, ignore_file=ignore)
    names = [name for _, name in sorted(files, key=lambda x: str(x[1]).lower())]
    found.append([assets.get_content_hash(path, ignore), names])
print(json.dumps(found))
