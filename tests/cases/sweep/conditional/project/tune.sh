#!/bin/sh
echo "$@" > model.txt
echo "{\"length\": ${#2}${#4}}" > m.json
