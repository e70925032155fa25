# The first logs its 50 intervals at once; the other one stays at its tenth until it is ended. They run one after the other:
# an interval is judged when it is logged, against what is known by then.
mkdir -p outputs
echo step,loss > loss.csv
i=0
while [ $i -lt 50 ]; do
    echo "$i,$2" >> loss.csv
    echo "$i" > outputs/checkpoint
    i=$((i + 1))
    if [ "$2" = 9 ] && [ $i = 10 ]; then
        while :; do read -r _ < /dev/zero; done
    fi
done
echo "$2" > model.txt
