open("out.txt", "w").write("hello\n")
