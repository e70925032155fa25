echo "$TF_CONFIG" | sed 's/:[0-9][0-9]*"/:PORT"/g'
