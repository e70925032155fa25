# Where the program begins, whichever way it was started; umask: everything made here is the user's alone.
UMASK = os.umask(0o077)
if __name__ == "serve":
    Server(TEXT).serve()  # noqa: F821 (given by the loader)
elif __name__ == "__main__" and sys.argv[1] == "slurm":
    supervise_on_slurm(sys.argv[2])
elif __name__ == "__main__" and sys.argv[1] == "ray":
    supervise_on_ray(sys.argv[2])
elif __name__ == "__main__" and sys.argv[1] == "build":
    build(sys.argv[2])
