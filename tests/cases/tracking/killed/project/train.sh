echo "{\"metric\":\"loss\",\"value\":0.5,\"step\":3}" >> "$AMLRUN_TRACKING/log.jsonl"
echo "{\"tag\":\"t\",\"value\":\"a $TOKEN\"}" >> "$AMLRUN_TRACKING/log.jsonl"
echo kept > "$AMLRUN_TRACKING/artifacts/$TOKEN.txt"
hold gate
