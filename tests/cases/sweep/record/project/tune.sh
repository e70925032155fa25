echo "{\"loss\": $2}" > m.json
echo "$2" > model.txt
