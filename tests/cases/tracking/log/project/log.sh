printf 'step,mse\n0,4\n1,3\n' > mse.csv
mkdir -p "$AMLRUN_TRACKING/artifacts/plots"
echo picture > "$AMLRUN_TRACKING/artifacts/plots/of $TOKEN.txt"
cat >> "$AMLRUN_TRACKING/log.jsonl" <<END
{"at":1700000000000,"metric":"mse","value":100,"step":7}
{"at":1700000000000,"metric":"loss","value":2.5,"step":0}
{"at":1700000000001,"metric":"loss","value":"NaN","step":1}
{"at":1700000000002,"metric":"loss","value":"Infinity","step":2}
{"param":"lr","value":"0.5"}
{"tag":"owner","value":"me, $TOKEN"}
{"property":"p","value":"{\"nested\": \"$TOKEN\"}"}
{"log":"confusion_matrix","name":"cm","value":{"schema_type":"confusion_matrix","schema_version":"1.0.0","data":{"class_labels":["a","$TOKEN"],"matrix":[[3,1],[0,4]]}}}
{"child":"c1","name":"first"}
{"run":"c1","metric":"loss","value":1}
{"run":"c1","status":"Completed"}
{"artifact":"plots/of $TOKEN.txt"}
{"model":"ridge","path":"outputs/model.pkl"}
no line
END
printf '{"metric":"half-written","val' >> "$AMLRUN_TRACKING/log.jsonl"
