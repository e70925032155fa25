import six
open("out.txt", "w").write(six.__version__ + "\n")
