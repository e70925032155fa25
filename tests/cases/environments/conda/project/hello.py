import idna
import six
open("out.txt", "w").write(f"{six.__version__} {idna.__version__}\n")
