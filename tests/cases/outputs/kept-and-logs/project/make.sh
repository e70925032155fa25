mkdir -p outputs logs
echo model > outputs/model.txt
echo to stdout
echo to a log > logs/train.txt
