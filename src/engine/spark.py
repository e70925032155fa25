# Hands one script to spark-submit. Given to `python -c` by the Python of the job's environment, so: Python 3.6 and its
# standard library. It becomes spark-submit: signals and the exit status are the job's own.
import sys

# A module of the project's must not stand in for one that is needed here.
sys.path[:] = [folder for folder in sys.path if folder]
import importlib.util, json, os, shutil, socket

SPEC, REST = json.loads(sys.argv[2]), sys.argv[3:]
TARGET = "target `%s`" % SPEC["target"]


def give_up(code, text):
    sys.stderr.write("amlrun: %s: %s\n" % (TARGET, text))
    sys.exit(code)


def home():
    """The folder of Spark: the declared one, or that of the environment's pyspark."""
    if os.environ.get("SPARK_HOME"):
        return os.environ["SPARK_HOME"]
    found = importlib.util.find_spec("pyspark")
    for package in (found.submodule_search_locations or []) if found else []:
        # As pip installs it, or as it lies in a Spark distribution.
        for folder in (package, os.path.dirname(os.path.dirname(package))):
            if os.path.exists(os.path.join(folder, "bin", "spark-submit")):
                return folder
    give_up(127, "could not run `spark-submit`: %s has no pyspark; add it to the environment's packages, as in "
                 "\"pyspark==4.0.1\"" % sys.executable)


def look_for_java():
    java = os.environ.get("JAVA_HOME")
    if not (os.path.exists(os.path.join(java, "bin", "java")) if java else shutil.which("java")):
        where = "JAVA_HOME is %s, where there is none" % java if java else "there is none on the PATH"
        give_up(127, "could not run `spark-submit`: Spark needs Java, and %s; install one (on Debian: apt install "
                     "openjdk-17-jre-headless), or set JAVA_HOME" % where)


def look_for_master():
    """Spark itself tries for a minute, and then says in forty lines that it stopped."""
    if not SPEC["master"].startswith("spark://"):
        return
    why = ""
    for place in SPEC["master"][len("spark://"):].split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), 10).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
    give_up(69, "`spark-submit --master %s` was not run: no master answers there (%s); start it (sbin/start-master.sh), or "
                "correct `master` of the target" % (SPEC["master"], why))


def words():
    script = "./" + REST[0] if REST[0].startswith("-") else REST[0]
    argv = SPEC["options"] + ["--master", SPEC["master"], "--deploy-mode", "client", "--name", SPEC["name"]]
    for name, value in SPEC["configuration"]:
        argv += ["--conf", "%s=%s" % (name, value)]
    for option in ("packages", "repositories", "jars", "py-files"):
        if SPEC[option]:
            argv += ["--" + option, ",".join(SPEC[option])]
    return argv + [script] + REST[1:]


look_for_java()
os.environ["SPARK_HOME"] = home()
look_for_master()
# The workers' Python is the driver's, where the environment says nothing else.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
submit = os.path.join(os.environ["SPARK_HOME"], "bin", "spark-submit")
try:
    sys.stderr.flush()
    os.execv(submit, [submit] + words())
except OSError as error:
    give_up(126, "could not run `%s`: %s; reinstall Spark, or correct SPARK_HOME" % (submit, error.strerror))
