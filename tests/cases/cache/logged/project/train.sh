echo result > out.txt
cd "$AMLRUN_TRACKING"
mkdir -p artifacts/plots
echo picture > artifacts/plots/roc.txt
echo weights > artifacts/net.bin
cat >> log.jsonl <<'END'
{"metric":"loss","value":2,"step":0}
{"metric":"loss","value":1,"step":1}
{"param":"lr","value":"0.5"}
{"tag":"stage","value":"dev"}
{"property":"p","value":"v"}
{"child":"c1","name":"first"}
{"run":"c1","metric":"c","value":1}
{"run":"c1","status":"Completed"}
{"run":"c1","child":"c2","name":"within first"}
{"run":"c2","status":"Completed"}
{"model":"net","path":"net.bin","tags":{"by":"script"}}
END
