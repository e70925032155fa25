open("hello.txt", "w").write("hello\n")
