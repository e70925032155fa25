mkdir -p models; echo model > models/model.txt
