mkdir -p models outputs
echo "model $1" > models/ridge-$1.txt
echo '{"metric":"mse","value":3}' >> $AMLRUN_TRACKING/log.jsonl
mkdir -p $AMLRUN_TRACKING/artifacts/m; echo weights > $AMLRUN_TRACKING/artifacts/m/w.bin
echo '{"at":1700000000000,"model":"net","path":"m","tags":{"by":"script"}}' >> $AMLRUN_TRACKING/log.jsonl
echo '{"alias":"champion","model":"net","version":1}' >> $AMLRUN_TRACKING/log.jsonl
