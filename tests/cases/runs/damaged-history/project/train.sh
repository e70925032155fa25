echo "training with alpha $1"
mkdir -p logs outputs
echo "epoch 1" > logs/epochs.txt
echo plot > outputs/plot.txt
echo "model $1" > models/m.txt
echo '{"mse": '$1'}' > metrics.json
