echo "$@" | tee model.txt > plain.txt
echo "{\"mse\": $2}" > m.json
