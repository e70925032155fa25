lr = 1
steps = 10
