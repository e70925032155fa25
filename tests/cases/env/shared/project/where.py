import pathlib, sys

assert sys.prefix != sys.base_prefix
pathlib.Path("prefix.txt").write_text(sys.prefix + "\n")
