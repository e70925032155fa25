mkdir -p ../models; cp ../data/clean.csv ../models/model.txt
