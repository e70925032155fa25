lr = 1
