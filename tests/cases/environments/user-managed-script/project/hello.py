import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--name")
print(f"hello {parser.parse_args().name}")
with open("out.txt", "w") as file:
    file.write(f"hello, Python {sys.version_info.major}\n")
