import tools; open("out.txt", "w").write(f"{tools.answer}\n")
