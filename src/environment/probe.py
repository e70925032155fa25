import json, os, sys

def absolute(path):
    return os.path.abspath(path) if path else path

standard = os.path.dirname(os.path.abspath(os.__file__))
skipped = {"", standard, os.path.join(standard, "lib-dynload")}
paths = []
for entry in sys.path:
    if not isinstance(entry, str) or absolute(entry) in skipped or entry == "":
        continue
    entry = absolute(entry)
    named = "python%d%d.zip" % sys.version_info[:2]
    if os.path.basename(entry) != named and entry not in paths:
        paths.append(entry)
try:
    import site
    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
except Exception:
    user_site = None
try:
    libc = "gnu" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
except (AttributeError, ValueError, OSError):
    libc = "musl"
name = sys.implementation.name
version = sys.version.split()[0] + getattr(sys, "abiflags", "").replace("m", "")
if name != "cpython":
    version += " (%s)" % ".".join(str(part) for part in sys.implementation.version[:3])
parts = [{"darwin": "macos"}.get(sys.platform, sys.platform), os.uname().machine]
if sys.platform.startswith("linux"):
    parts.append(libc)
if sys.maxsize < 2**32:
    parts.append("32bit")
print("\namlrun-probe:" + json.dumps({
    "executable": sys.executable,
    "implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(name, name),
    "version": version,
    "minor": "%d.%d" % sys.version_info[:2],
    "platform": "-".join(parts),
    "prefix": sys.prefix,
    "base_prefix": getattr(sys, "base_prefix", sys.prefix),
    "user_site": user_site,
    "path": paths,
}))
